//! Rows that are put come back exactly, and room that is given back is used again.

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};

use super::*;
use crate::list_alignment::ListAlignment;
use crate::provenance::{OriginColumn, OriginId, Positions, Provenance, ProvenanceColumn};
use crate::schema::SystemTag;
use crate::spill::space::BLOCK;

/// A small generator of random numbers, the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn count(&mut self, end: u64) -> usize {
        usize::try_from(self.below(end)).unwrap()
    }

    fn text(&mut self) -> Option<String> {
        (self.below(4) > 0).then(|| "a text of some length ".repeat(self.count(4)))
    }
}

fn area(limit: u64) -> (FileArea, SpillBudget) {
    let budget = SpillBudget::new(limit);
    (FileArea::new(&std::env::temp_dir(), &budget), budget)
}

fn nested_type() -> DataType {
    let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)));
    DataType::Struct(Fields::from(vec![
        Field::new("texts", list, true),
        Field::new("flag", DataType::Boolean, true),
    ]))
}

/// Structs of lists of long strings and of flags, with nulls at every depth.
fn nested(random: &mut Random, rows: usize) -> ArrayRef {
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    let mut flags = BooleanBuilder::new();
    let mut valid = Vec::new();
    for _ in 0..rows {
        if random.below(4) == 0 {
            lists.append_null();
        } else {
            lists.append_value((0..random.below(4)).map(|_| random.text()));
        }
        flags.append_option((random.below(3) > 0).then(|| random.below(2) == 0));
        valid.push(random.below(5) > 0);
    }
    let DataType::Struct(fields) = nested_type() else { panic!("not a struct") };
    let columns: Vec<ArrayRef> = vec![Arc::new(lists.finish()), Arc::new(flags.finish())];
    Arc::new(StructArray::new(fields, columns, Some(valid.into())))
}

fn map(random: &mut Random, rows: usize) -> ArrayRef {
    let mut maps = MapBuilder::new(None, StringViewBuilder::new(), Int64Builder::new());
    for row in 0..rows {
        for key in 0..random.below(3) {
            maps.keys().append_value(format!("key {key} of row {row}"));
            maps.values().append_option((random.below(2) == 0).then_some(7));
        }
        maps.append(random.below(4) > 0).unwrap();
    }
    Arc::new(maps.finish())
}

fn columns(random: &mut Random, rows: usize) -> Vec<ArrayRef> {
    let texts: StringViewArray = (0..rows).map(|_| random.text()).collect();
    let bytes: BinaryViewArray = (0..rows).map(|_| random.text()).collect();
    let numbers: Int64Array = (0_i64..).take(rows).map(|n| (random.below(5) > 0).then_some(n)).collect();
    let wide: Decimal128Array = (0..rows).map(|n| (random.below(5) > 0).then_some(n as i128)).collect();
    vec![
        Arc::new(texts),
        Arc::new(bytes),
        Arc::new(numbers),
        Arc::new(wide.with_precision_and_scale(20, 3).unwrap()),
        nested(random, rows),
        map(random, rows),
    ]
}

/// Provenance in lists so many deep, of about so many values; nulls and empty lists included.
fn provenance(random: &mut Random, rows: usize, depth: usize, shared: &Positions) -> ProvenanceColumn {
    if depth > 0 {
        let offsets: OffsetBuffer<i32> = OffsetBuffer::from_lengths((0..rows).map(|_| random.count(3)));
        let inner = usize::try_from(offsets.last()).unwrap();
        let positions = Positions::places((0..inner as u64).map(|n| n * 3).collect());
        let mut lists = provenance(random, inner, depth - 1, &positions).into_lists(offsets);
        if let ProvenanceColumn::Lists(lists) = &mut lists {
            lists.nulls = (random.below(2) == 0).then(|| vec![random.below(2) == 0; rows].into());
        }
        return lists;
    }
    let positions = match random.below(4) {
        0 => Positions::range(random.below(100), rows),
        1 => Positions::places((0..rows as u64).map(|n| n * n).collect()),
        2 => Positions::keys((0..rows as u128).map(|n| n << 70).collect()),
        _ => shared.clone(),
    };
    let origins = match random.below(3) {
        0 => OriginColumn::Constant(OriginId::NULL),
        1 => OriginColumn::Constant(OriginId(4)),
        _ => OriginColumn::compact((0..rows).map(|_| OriginId(u32::from(random.below(3) == 0))).collect()),
    };
    ProvenanceColumn::of(origins, positions)
}

/// A chunk of every kind of column, as it is or as a slice of a longer one.
fn chunk(random: &mut Random) -> Chunk {
    let rows = random.count(40);
    let columns = columns(random, rows);
    let field = |(n, column): (usize, &ArrayRef)| -> FieldRef {
        Arc::new(Field::new(format!("column{n}"), column.data_type().clone(), true))
    };
    let fields: Vec<FieldRef> = columns.iter().enumerate().map(field).collect();
    let levels = ListAlignment::default().wrapped(None).wrapped(None);
    let tags = vec![SystemTag::from_stem("a"), SystemTag::from_stem("b").with_alignment(levels)];
    let (tag_fields, packet_fields) = fields.split_at(2);
    let schema = StreamSchema::new(tag_fields.to_vec(), packet_fields.to_vec(), tags).unwrap();
    let shared = Positions::places((0..rows as u64).rev().collect());
    let system = vec![provenance(random, rows, 0, &shared), provenance(random, rows, 2, &shared)];
    let sources = packet_fields.iter().map(|_| provenance(random, rows, 0, &shared)).collect();
    let (tags, packets) = columns.split_at(2);
    let provenance = Provenance { tags: system, sources };
    let chunk = Chunk::new(Arc::new(schema), rows, tags.to_vec(), packets.to_vec(), provenance).unwrap();
    if random.below(2) == 0 { chunk.slice(random.count(10), random.count(20)) } else { chunk }
}

/// One row of provenance as text.
fn text(column: &ProvenanceColumn, row: usize) -> String {
    match column {
        ProvenanceColumn::Flat(flat) => {
            format!("{}@{}", flat.origins.get(row).0, flat.positions.get(row))
        }
        ProvenanceColumn::Lists(lists) if lists.is_null(row) => "-".to_owned(),
        ProvenanceColumn::Lists(lists) => {
            let items: Vec<String> = lists.range(row).map(|item| text(&lists.items, item)).collect();
            format!("[{}]", items.join(" "))
        }
    }
}

fn assert_same(back: &Chunk, put: &Chunk) {
    assert!(Arc::ptr_eq(back.schema(), put.schema()) || back.schema() == put.schema());
    assert_eq!(back.rows(), put.rows());
    assert_eq!((back.tags(), back.packets()), (put.tags(), put.packets()));
    let (backs, puts): (Vec<_>, Vec<_>) =
        (back.provenance().columns().collect(), put.provenance().columns().collect());
    assert_eq!(backs.len(), puts.len());
    for (n, (one, other)) in backs.iter().zip(&puts).enumerate() {
        let rows = |column: &ProvenanceColumn| -> Vec<String> {
            (0..column.rows()).map(|row| text(column, row)).collect()
        };
        assert_eq!(rows(one), rows(other));
        let same = |a: &ProvenanceColumn, b: &ProvenanceColumn| {
            a.flat().zip(b.flat()).is_some_and(|(a, b)| a.positions.same(&b.positions))
        };
        for (one_before, other_before) in backs.iter().zip(&puts).take(n) {
            // Nothing can be told of positions of no row.
            let kept = same(one, one_before) == same(other, other_before);
            assert!(kept || put.rows() == 0, "what was shared is shared, and nothing else");
        }
    }
}

#[test]
fn random_chunks_come_back_as_they_were_put_whatever_is_forgotten_in_between() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let (mut area, budget) = area(1 << 30);
        let mut model: BTreeMap<PartId, Vec<Chunk>> = BTreeMap::new();
        for _ in 0..20 {
            let part = PartId(random.below(4));
            if random.below(4) == 0 {
                assert_eq!(area.forget(part).is_ok(), model.remove(&part).is_some());
            } else {
                let chunks: Vec<Chunk> = (0..random.below(3)).map(|_| chunk(&mut random)).collect();
                area.put(part, chunks.clone()).unwrap();
                model.entry(part).or_default().extend(chunks);
            }
            for (part, chunks) in &model {
                let back = area.read(*part).unwrap();
                assert_eq!(back.len(), chunks.len());
                back.iter().zip(chunks).for_each(|(back, put)| assert_same(back, put));
            }
        }
        drop(area);
        assert_eq!(budget.used(), 0);
    }
}

/// So many numbers in one column, or rows without a column.
fn numbers(rows: usize, column: bool) -> Chunk {
    let fields = vec![Arc::new(Field::new("n", DataType::Int64, false))];
    let schema = StreamSchema::new(vec![], if column { fields } else { vec![] }, vec![]).unwrap();
    let values: ArrayRef = Arc::new((0_i64..).take(rows).collect::<PrimitiveArray<Int64Type>>());
    let packets = if column { vec![values] } else { vec![] };
    let sources = packets.iter().map(|_| ProvenanceColumn::null(rows)).collect();
    Chunk::new(Arc::new(schema), rows, vec![], packets, Provenance { tags: vec![], sources }).unwrap()
}

#[test]
fn rows_without_columns_keep_their_number() {
    let (mut area, _) = area(1 << 20);
    area.put(PartId(1), vec![numbers(9, false), numbers(0, false), numbers(0, true)]).unwrap();
    let back = area.read(PartId(1)).unwrap();
    assert_eq!(back.iter().map(Chunk::rows).collect::<Vec<_>>(), [9, 0, 0]);
    back.iter().zip([numbers(9, false), numbers(0, false), numbers(0, true)]).for_each(|(back, put)| {
        assert_same(back, &put);
    });
}

#[test]
fn a_slice_of_a_long_chunk_takes_no_more_room_than_its_rows() {
    let (mut area, budget) = area(1 << 20);
    let texts: StringViewArray = (0..10_000).map(|n| Some(format!("a text beyond the view: {n}"))).collect();
    let schema = vec![Arc::new(Field::new("t", DataType::Utf8View, true))];
    let schema = Arc::new(StreamSchema::new(schema, vec![], vec![]).unwrap());
    let chunk = Chunk::new(schema, 10_000, vec![Arc::new(texts)], vec![], Provenance::default()).unwrap();
    area.put(PartId(0), vec![chunk.slice(5_000, 10)]).unwrap();
    assert!(budget.spilled_bytes() < 1_000, "{}", budget.spilled_bytes());
    let back = area.read(PartId(0)).unwrap();
    assert!(back[0].bytes() < 2_000, "{}", back[0].bytes());
    assert_same(&back[0], &chunk.slice(5_000, 10));
}

#[test]
fn room_that_is_given_back_is_used_again_and_leaves_the_disk() {
    let (mut area, budget) = area(1 << 30);
    let file_length = |area: &FileArea| {
        let bytes = area.file.as_ref().unwrap().metadata().unwrap().len();
        bytes.div_ceil(BLOCK) * BLOCK
    };
    for part in 0..4 {
        area.put(PartId(part), vec![numbers(10_000, true)]).unwrap();
    }
    let (length, used) = (file_length(&area), budget.used());
    assert_eq!(length, used);
    for round in 0..10 {
        area.forget(PartId(round)).unwrap();
        area.put(PartId(round + 4), vec![numbers(10_000, true)]).unwrap();
        assert_eq!((file_length(&area), budget.used()), (length, used));
    }
    assert!(budget.spilled_bytes() >= 14 * 80_000);
    for part in 10..14 {
        assert_same(&area.read(PartId(part)).unwrap()[0], &numbers(10_000, true));
        area.forget(PartId(part)).unwrap();
    }
    assert_eq!((file_length(&area), budget.used()), (0, 0));
}

#[test]
fn areas_share_a_limit_and_a_refused_part_leaves_everything_as_it_was() {
    let budget = SpillBudget::new(200_000);
    let mut one = FileArea::new(&std::env::temp_dir(), &budget);
    let mut other = FileArea::new(&std::env::temp_dir(), &budget);
    one.put(PartId(0), vec![numbers(15_000, true)]).unwrap();
    let used = budget.used();
    let error = other.put(PartId(0), vec![numbers(15_000, true)]).unwrap_err();
    let SpillError::Limit { bytes, limit: 200_000 } = error else { panic!("{error}") };
    assert!(bytes > 240_000);
    assert_eq!(budget.used(), used);
    assert!(matches!(other.read(PartId(0)), Err(SpillError::Missing(0))));
    other.put(PartId(0), vec![numbers(1_000, true)]).unwrap();
    one.forget(PartId(0)).unwrap();
    other.put(PartId(1), vec![numbers(15_000, true)]).unwrap();
    assert_same(&other.read(PartId(1)).unwrap()[0], &numbers(15_000, true));
}

#[test]
fn a_folder_that_takes_no_file_is_an_error_that_names_it() {
    let budget = SpillBudget::new(1 << 20);
    let mut area = FileArea::new(Path::new("/dev/null/nowhere"), &budget);
    let error = area.put(PartId(0), vec![numbers(1, true)]).unwrap_err();
    let expected = "creating a file for operators' state in \"/dev/null/nowhere\" failed; make room there or raise memory_limit";
    assert_eq!(error.to_string(), expected);
    assert_eq!((budget.used(), budget.spilled_bytes()), (0, 0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_that_names_the_operation_and_takes_no_room() {
    let (mut area, budget) = area(1 << 20);
    area.file = Some(File::options().read(true).write(true).open("/dev/full").unwrap());
    let error = area.put(PartId(0), vec![numbers(1, true)]).unwrap_err();
    assert!(error.to_string().starts_with("writing operators' state to a file in"), "{error}");
    let SpillError::Disk { cause, .. } = error else { panic!("{error}") };
    assert_eq!(cause.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!((budget.used(), area.space.end()), (0, 0));
    assert!(matches!(area.read(PartId(0)), Err(SpillError::Missing(0))));
}

#[test]
fn bytes_that_end_too_early_are_an_error_wherever_it_is() {
    let mut random = Random(3);
    let mut schemas = Vec::new();
    let whole = encode(&[chunk(&mut random), chunk(&mut random)], &mut schemas).unwrap();
    assert_eq!(decode(&whole, &schemas).unwrap().len(), 2);
    let torn = (1..whole.len()).filter(|cut| decode(&whole[..*cut], &schemas).is_err()).count();
    // The one cut that is not torn is the one between the chunks.
    assert_eq!(torn, whole.len() - 2);
}
