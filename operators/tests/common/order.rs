//! The order of rows, from plain values and texts.

use std::cmp::Ordering;

use super::*;

/// A value that is a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    Number(i128),
    Float(f64),
    Bytes(Vec<u8>),
    NotANumber,
    Null,
}

impl Key {
    pub fn of(array: &dyn Array, row: usize) -> Self {
        use arrow::compute::cast;
        if array.is_null(row) {
            return Self::Null;
        }
        let one = array.slice(row, 1);
        let float = || {
            let wide = cast(&one, &DataType::Float64).unwrap();
            wide.as_any().downcast_ref::<Float64Array>().unwrap().value(0)
        };
        match array.data_type() {
            DataType::Float16 | DataType::Float32 | DataType::Float64 if float().is_nan() => Self::NotANumber,
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Float(float()),
            DataType::Utf8View => {
                Self::Bytes(one.as_any().downcast_ref::<StringViewArray>().unwrap().value(0).into())
            }
            DataType::BinaryView => {
                Self::Bytes(one.as_any().downcast_ref::<BinaryViewArray>().unwrap().value(0).into())
            }
            DataType::Boolean => {
                Self::Number(one.as_any().downcast_ref::<BooleanArray>().unwrap().value(0).into())
            }
            DataType::Decimal128(..) => {
                Self::Number(one.as_any().downcast_ref::<Decimal128Array>().unwrap().value(0))
            }
            DataType::Decimal256(..) => Self::Number(
                one.as_any().downcast_ref::<Decimal256Array>().unwrap().value(0).to_i128().unwrap(),
            ),
            DataType::UInt64 => {
                Self::Number(one.as_any().downcast_ref::<UInt64Array>().unwrap().value(0).into())
            }
            DataType::Date32 => {
                Self::Number(one.as_any().downcast_ref::<Date32Array>().unwrap().value(0).into())
            }
            _ => {
                let wide = cast(&one, &DataType::Int64).unwrap();
                Self::Number(wide.as_any().downcast_ref::<Int64Array>().unwrap().value(0).into())
            }
        }
    }

    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b).unwrap(),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::NotANumber => 1,
            Self::Null => 2,
            _ => 0,
        }
    }
}

/// A record id: `row_9` before `row_10`, all others as texts.
fn record(text: &str) -> (bool, u64, String) {
    match text.strip_prefix("row_") {
        Some(number) => (true, number.parse().unwrap(), String::new()),
        None => (false, 0, text.to_owned()),
    }
}

/// A hidden cell in the order of provenance, those without any last.
type Place = (bool, String, (bool, u64, String), Vec<String>);

fn place(text: &str) -> Place {
    if text == NULL {
        return (true, String::new(), Default::default(), vec![]);
    }
    let parts: Vec<&str> = text.split("::").collect();
    match parts.as_slice() {
        [source, id] => (false, (*source).to_owned(), record(id), vec![]),
        [source, id, column] => (false, (*source).to_owned(), record(id), vec![(*column).to_owned()]),
        [function, fingerprint, key, output] => (
            false,
            (*function).to_owned(),
            Default::default(),
            [fingerprint, output, key].map(|part| (*part).to_owned()).to_vec(),
        ),
        _ => panic!("no provenance: {text}"),
    }
}

/// Where a row came from, from the texts of its hidden columns.
fn places(schema: &StreamSchema, row: &[String]) -> Vec<Place> {
    let hidden = &row[schema.columns().count()..];
    let (tags, sources) = hidden.split_at(2 * schema.system_tags().len());
    let pair = |pair: &[String]| if pair[0] == NULL { NULL.to_owned() } else { pair.join("::") };
    let tags = tags.chunks(2).map(|two| place(&pair(two)));
    tags.chain(sources.iter().map(|text| place(text))).collect()
}

/// The rows of a stream in the order of tags: their texts, and for each whether its tags equal those
/// of the row before. Ties stay where the stream's order is defined, and go by provenance elsewhere.
pub fn sorted(stream: &Stream, origins: &Origins, by: &[String]) -> Vec<(Vec<String>, bool)> {
    let schema = &stream.input.schema;
    let rows = read(schema, &stream.chunks, origins).rows;
    let whole = Chunk::concat(schema, &stream.chunks).unwrap();
    let keys = |row: usize| -> Vec<Key> {
        by.iter().map(|name| Key::of(whole.column(name).unwrap().as_ref(), row)).collect()
    };
    let mut rows: Vec<(Vec<Key>, Vec<String>)> =
        rows.into_iter().enumerate().map(|(at, row)| (keys(at), row)).collect();
    let compare = |a: &[Key], b: &[Key]| {
        a.iter().zip(b).fold(Ordering::Equal, |order, (a, b)| order.then_with(|| a.compare(b)))
    };
    rows.sort_by(|a, b| {
        let order = compare(&a.0, &b.0);
        if stream.input.ordered {
            return order;
        }
        order.then_with(|| places(schema, &a.1).cmp(&places(schema, &b.1)))
    });
    let mut before: Option<Vec<Key>> = None;
    let mut sorted = Vec::new();
    for (keys, row) in rows {
        let same = before.as_ref().is_some_and(|before| compare(before, &keys).is_eq());
        sorted.push((row, same));
        before = Some(keys);
    }
    sorted
}

/// A random type that can be a key.
pub fn key_type(random: &mut Random) -> DataType {
    use DataType as D;
    let unit =
        random.pick(&[TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond]);
    random.pick(&[
        D::Boolean,
        D::Int8,
        D::Int16,
        D::Int32,
        D::Int64,
        D::UInt8,
        D::UInt16,
        D::UInt32,
        D::UInt64,
        D::Float16,
        D::Float32,
        D::Float64,
        D::Float64,
        D::Utf8View,
        D::Utf8View,
        D::BinaryView,
        D::Date32,
        D::Time64(TimeUnit::Nanosecond),
        D::Timestamp(unit, None),
        D::Timestamp(unit, Some("UTC".into())),
        D::Duration(unit),
        D::Decimal128(10, 2),
        D::Decimal256(50, 2),
    ])
}

/// A random type, nested ones included.
pub fn any_type(random: &mut Random) -> DataType {
    let fields = [field("a", &DataType::Utf8View), field("b", &list_type())];
    match random.below(10) {
        0 | 1 => list_type(),
        2 => DataType::Struct(fields.to_vec().into()),
        _ => key_type(random),
    }
}

/// A random stream whose rows differ in their provenance, and the names of its tags that can be keys.
pub fn sortable(random: &mut Random, origins: &Origins, most_rows: usize) -> (Stream, Vec<String>) {
    let mut tags: Vec<(String, DataType)> =
        (0..=random.below(3)).map(|n| (format!("key{n}"), key_type(random))).collect();
    let keys = tags.iter().map(|(name, _)| name.clone()).collect();
    if random.chance(40) {
        tags.insert(random.below(tags.len() + 1), ("other".to_owned(), any_type(random)));
    }
    let packets: Vec<(String, DataType)> =
        (0..=random.below(3)).map(|n| (format!("packet{n}"), any_type(random))).collect();
    let borrowed = |columns: &[(String, DataType)]| -> Vec<(&'static str, DataType)> {
        columns.iter().map(|(name, t)| (&*Box::leak(name.clone().into_boxed_str()), t.clone())).collect()
    };
    let stems: &[&str] = random.pick(&[&[] as &[&str], &["0123456789ab"], &["0123456789ab", "ba9876543210"]]);
    let schema = schema(&borrowed(&tags), &borrowed(&packets), stems);
    let rows = if random.chance(5) { 0 } else { random.below(most_rows + 1) };
    let first = random.below(256) as u8;
    let mut made = stream(random, origins, schema, hash(first), rows);
    made.input.ordered = random.chance(50);
    (made, keys)
}

/// Some of the names, in any order, at least one.
pub fn some_of(random: &mut Random, names: &[String]) -> Vec<String> {
    let mut rest = names.to_vec();
    let count = 1 + random.below(names.len());
    (0..count).map(|_| rest.remove(random.below(rest.len()))).collect()
}

/// The rows in another order, cut anew.
pub fn shuffled(random: &mut Random, whole: &Chunk) -> Vec<Chunk> {
    let mut rows: Vec<u32> = (0..whole.rows() as u32).collect();
    for at in (1..rows.len()).rev() {
        rows.swap(at, random.below(at + 1));
    }
    cut(random, &whole.take(&rows).unwrap())
}

/// The rows twice: with the same provenance, but tags and packets of their own.
pub fn doubled(random: &mut Random, whole: &Chunk) -> Chunk {
    let fields = |fields: &[FieldRef], random: &mut Random| -> Vec<ArrayRef> {
        fields.iter().map(|f| column(random, f.data_type(), whole.rows(), 10)).collect()
    };
    let (tags, packets) = (fields(whole.schema().tags(), random), fields(whole.schema().packets(), random));
    let schema = Arc::clone(whole.schema());
    let other =
        Chunk::new(Arc::clone(&schema), whole.rows(), tags, packets, whole.provenance().clone()).unwrap();
    Chunk::concat(&schema, &[whole.clone(), other]).unwrap()
}

/// The hashes of all rows, in order.
pub fn packet_hashes(schema: &StreamSchema, chunks: &[Chunk]) -> Vec<anabranch_engine::identity::PacketHash> {
    let fields: Vec<FieldRef> = schema.columns().cloned().collect();
    let hasher = anabranch_engine::identity::PacketHasher::new(&fields).unwrap();
    let all = chunks.iter().flat_map(|chunk| {
        let columns: Vec<ArrayRef> = chunk.tags().iter().chain(chunk.packets()).cloned().collect();
        hasher.hash(&columns, chunk.rows()).unwrap()
    });
    all.collect()
}
