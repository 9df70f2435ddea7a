//! Golden vectors of every identity. A change here makes every stored key worthless: none is
//! ever made. The vectors were computed by a second implementation from `design/identity.md`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test that cannot go on panics, and its numbers are small"
)]

use std::sync::Arc;

use anabranch_engine::identity::{FingerprintBuilder, PacketHash, PacketHasher, ResultKey, Structure};
use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::*;

fn hash(columns: Vec<(&str, ArrayRef)>) -> Vec<PacketHash> {
    let rows = columns.first().map_or(1, |(_, c)| c.len());
    let fields: Vec<FieldRef> =
        columns.iter().map(|(n, c)| Arc::new(Field::new(*n, c.data_type().clone(), true))).collect();
    let columns: Vec<ArrayRef> = columns.into_iter().map(|(_, c)| c).collect();
    PacketHasher::new(&fields).unwrap().hash(&columns, rows).unwrap()
}

fn hex(columns: Vec<(&str, ArrayRef)>) -> Vec<String> {
    hash(columns).iter().map(|h| h.0.hex(16)).collect()
}

fn array(values: impl Array + 'static) -> ArrayRef {
    Arc::new(values)
}

#[test]
fn packets_have_their_golden_hashes() {
    let cases: Vec<(&str, ArrayRef, &[&str])> = vec![
        ("int64", array(Int64Array::from(vec![Some(1), None, Some(-1)])), GOLDEN[0]),
        ("uint8", array(UInt8Array::from(vec![0, 255])), GOLDEN[1]),
        ("float64", array(Float64Array::from(vec![0.0, -0.0, f64::NAN, 1.5])), GOLDEN[2]),
        (
            "string",
            array(StringViewArray::from(vec!["", "a", "a string of more than twelve bytes"])),
            GOLDEN[3],
        ),
        ("bool", array(BooleanArray::from(vec![true, false])), GOLDEN[4]),
        ("date", array(Date32Array::from(vec![0, -1])), GOLDEN[5]),
        ("timestamp", array(TimestampMillisecondArray::from(vec![1, -1])), GOLDEN[6]),
        (
            "decimal",
            array(
                Decimal128Array::from(vec![0, 127, 128, -128, -129]).with_precision_and_scale(9, 2).unwrap(),
            ),
            GOLDEN[7],
        ),
    ];
    for (name, column, expected) in cases {
        assert_eq!(hex(vec![("x", column)]), expected, "{name}");
    }
    let long = "0123456789".repeat(200);
    assert_eq!(hex(vec![("x", array(StringViewArray::from(vec![long.as_str()])))]), GOLDEN[8]);
    let empty = PacketHasher::new(&[]).unwrap().hash(&[], 2).unwrap();
    assert_eq!(empty.iter().map(|h| h.0.hex(16)).collect::<Vec<_>>(), GOLDEN[9]);
}

#[test]
fn nested_packets_have_their_golden_hashes() {
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![
        Some(vec![Some(1), None]),
        Some(vec![]),
        None,
    ]);
    assert_eq!(hex(vec![("x", array(list))]), GOLDEN[10]);
    let parts: Vec<(FieldRef, ArrayRef)> = vec![
        (Arc::new(Field::new("b", DataType::Int64, true)), array(Int64Array::from(vec![2]))),
        (Arc::new(Field::new("a", DataType::Utf8, true)), array(StringArray::from(vec!["y"]))),
    ];
    assert_eq!(hex(vec![("x", array(StructArray::from(parts)))]), GOLDEN[11]);
}

#[test]
fn structures_and_functions_have_their_golden_hashes() {
    let mut structure = Structure::new("source");
    structure.fields(&[Arc::new(Field::new("x", DataType::Int64, true))]);
    structure.flag(true);
    structure.number(7);
    structure.texts(&["a", "b"]);
    assert_eq!(structure.finish().hex(16), GOLDEN[12][0]);
    let function = FingerprintBuilder::default().with("kind", "closure").with("entry", "f").build();
    let turned = FingerprintBuilder::default().with("entry", "f").with("kind", "closure").build();
    assert_eq!(function.digest(), turned.digest());
    assert_eq!(function.digest().hex(16), GOLDEN[12][1]);
    let packet = hash(vec![("x", array(Int64Array::from(vec![1])))])[0];
    assert_eq!(ResultKey::of(&function, &packet).0.hex(20), GOLDEN[12][2]);
    assert_eq!(format!("{:020x}", ResultKey::of(&function, &packet).short()), GOLDEN[12][2]);
}

const GOLDEN: [&[&str]; 13] = [
    &["4b8c98f8779b7671", "54e316a90f6b0554", "0760bb1146a4666b"],
    &["bd68c58da4baeac1", "b14823d1f3769cc7"],
    &["348fd5ec5ba7a718", "268a45041403756f", "2a9da05142084124", "2024f58b0ede71e2"],
    &["cbd7e9c4c526f2d9", "169e327df29f562f", "b41b29573f11fdd1"],
    &["6d7d36e811756d42", "086f99217002d283"],
    &["7c6bb3339aef9509", "efc594a53d3454bc"],
    &["4b1bd2e1ad28bee3", "67d163968ac1657f"],
    &["cd5a2a8aee6946d8", "26ff16cccd5884a3", "2d08e2cfa0c16097", "2ecd63b49f93be6d", "3b0759815f6d7f74"],
    &["cfd9fb8846a4c9f6"],
    &["177f85cf82742e6f", "177f85cf82742e6f"],
    &["7c22ff0005b022f1", "bb55ad51e1a1ba9f", "3996b8eee139b79d"],
    &["81d69a5083b59776"],
    &["2aea680351ae9984", "ee0f19487bba5276", "59369b46dc6e9bc7afe3"],
];

fn same(forms: Vec<ArrayRef>) {
    let expected = hash(vec![("x", Arc::clone(&forms[0]))]);
    for form in forms {
        let kind = form.data_type().clone();
        assert_eq!(hash(vec![("x", form)]), expected, "{kind}");
    }
}

#[test]
fn every_physical_form_of_a_value_has_one_hash() {
    let texts = vec![Some("a"), None, Some("longer than a view's twelve bytes"), Some("a")];
    let dictionary: DictionaryArray<Int8Type> = texts.iter().copied().collect();
    let runs: RunArray<Int32Type> = texts.iter().copied().collect();
    same(vec![
        array(StringArray::from(texts.clone())),
        array(LargeStringArray::from(texts.clone())),
        array(StringViewArray::from(texts.clone())),
        array(dictionary),
        array(runs),
        array(StringArray::from([vec![Some("other")], texts].concat())).slice(1, 4),
    ]);
    let bytes: Vec<&[u8]> = vec![b"ab", b"cd"];
    same(vec![
        array(BinaryArray::from(bytes.clone())),
        array(LargeBinaryArray::from(bytes.clone())),
        array(BinaryViewArray::from(bytes.clone())),
        array(FixedSizeBinaryArray::try_from_iter(bytes.into_iter()).unwrap()),
    ]);
    same(vec![
        array(TimestampSecondArray::from(vec![1_357_000_000, -1])),
        array(TimestampMillisecondArray::from(vec![1_357_000_000_000, -1_000])),
        array(TimestampMicrosecondArray::from(vec![1_357_000_000_000_000, -1_000_000])),
        array(TimestampNanosecondArray::from(vec![1_357_000_000_000_000_000, -1_000_000_000])),
    ]);
    same(vec![
        array(TimestampSecondArray::from(vec![1]).with_timezone("UTC")),
        array(TimestampNanosecondArray::from(vec![1_000_000_000]).with_timezone("Europe/Vienna")),
    ]);
    same(vec![array(Date32Array::from(vec![3])), array(Date64Array::from(vec![3 * 86_400_000]))]);
    same(vec![
        array(Time32SecondArray::from(vec![5])),
        array(Time64NanosecondArray::from(vec![5_000_000_000])),
    ]);
    let wide = Decimal256Array::from(vec![i256::from_i128(-12_345)]);
    same(vec![
        array(Decimal128Array::from(vec![-12_345]).with_precision_and_scale(9, 2).unwrap()),
        array(Decimal128Array::from(vec![-12_345]).with_precision_and_scale(30, 2).unwrap()),
        array(wide.with_precision_and_scale(50, 2).unwrap()),
    ]);
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let values = || array(Int32Array::from(vec![1, 2, 3, 4]));
    same(vec![
        array(ListArray::new(Arc::clone(&item), OffsetBuffer::from_lengths([2, 2]), values(), None)),
        array(LargeListArray::new(Arc::clone(&item), OffsetBuffer::from_lengths([2, 2]), values(), None)),
        array(FixedSizeListArray::new(item, 2, values(), None)),
    ]);
}

#[test]
fn what_is_not_the_same_value_has_another_hash() {
    let one = hash(vec![("x", array(Int64Array::from(vec![1])))]);
    let others: Vec<(&str, ArrayRef)> = vec![
        ("y", array(Int64Array::from(vec![1]))),
        ("x", array(Int32Array::from(vec![1]))),
        ("x", array(UInt64Array::from(vec![1]))),
        ("x", array(Int64Array::from(vec![None::<i64>]))),
        ("x", array(StringArray::from(vec!["1"]))),
        ("x", array(TimestampSecondArray::from(vec![1]))),
        ("x", array(TimestampSecondArray::from(vec![1]).with_timezone("UTC"))),
        ("x", array(DurationSecondArray::from(vec![1]))),
        ("x", array(Decimal128Array::from(vec![1]).with_precision_and_scale(9, 0).unwrap())),
        ("x", array(Decimal128Array::from(vec![1]).with_precision_and_scale(9, 1).unwrap())),
    ];
    let mut seen = one;
    for (name, column) in others {
        seen.extend(hash(vec![(name, column)]));
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count);
    // Where one value ends and the next begins is part of what is hashed.
    let pair = |a: &'static str, b: &'static str| {
        hash(vec![("a", array(StringArray::from(vec![a]))), ("b", array(StringArray::from(vec![b])))])
    };
    assert_ne!(pair("ab", ""), pair("a", "b"));
    // A null is not an empty text, and zeros at the end are not padding.
    assert_ne!(
        hash(vec![("x", array(StringArray::from(vec![Some("")])))]),
        hash(vec![("x", array(StringArray::from(vec![None::<&str>])))])
    );
    assert_ne!(
        hash(vec![("x", array(BinaryArray::from(vec![&b"\0"[..]])))]),
        hash(vec![("x", array(BinaryArray::from(vec![&b"\0\0"[..]])))])
    );
}

#[test]
fn the_order_of_columns_and_nullability_do_not_matter() {
    let (a, b) = (array(Int64Array::from(vec![1])), array(StringArray::from(vec!["x"])));
    let straight = hash(vec![("a", Arc::clone(&a)), ("b", Arc::clone(&b))]);
    assert_eq!(straight, hash(vec![("b", b), ("a", Arc::clone(&a))]));
    let strict = PacketHasher::new(&[Arc::new(Field::new("a", DataType::Int64, false))]).unwrap();
    assert_eq!(strict.hash(&[Arc::clone(&a)], 1).unwrap(), hash(vec![("a", a)]));
}
