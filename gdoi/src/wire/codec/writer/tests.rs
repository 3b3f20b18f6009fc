use super::*;
use crate::wire::Reader;
use std::panic::{catch_unwind, AssertUnwindSafe};

fn written(write: impl FnOnce(&mut Writer)) -> Result<Vec<u8>, Malformed> {
    Writer::plain(0, write)
}

#[test]
fn what_is_written_is_read() {
    let octets = written(|out| {
        out.u8(1);
        out.u16(0x0203);
        out.u32(0x0405_0607);
        out.u64(8);
        out.raw(&[9; 3]);
        out.pad(4);
    });
    let octets = octets.unwrap();
    let mut reader = Reader::new(&octets, "test");
    assert_eq!((reader.u8(), reader.u16(), reader.u32()), (Ok(1), Ok(0x0203), Ok(0x0405_0607)));
    assert_eq!((reader.u64(), reader.array(), reader.reserved(2)), (Ok(8), Ok([9; 3]), Ok(())));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn lengths_are_those_of_what_stands_behind_them() {
    let octets = written(|out| {
        out.u8(7);
        let mut outer = out.length_u16("outer");
        outer.length_u8("inner").raw(&[1, 2]);
        outer.u8(3);
    });
    assert_eq!(octets.unwrap(), [7, 0, 4, 2, 1, 2, 3]);
}

#[test]
fn lengths_may_count_from_before_themselves() {
    let octets = written(|out| {
        out.u8(7);
        let start = out.position();
        out.u8(8);
        out.length_u16_from(start, "part").u8(9);
    });
    assert_eq!(octets.unwrap(), [7, 8, 0, 4, 9]);
    assert_eq!(written(|out| out.length_u32_from(0, "all").u8(9)).unwrap(), [0, 0, 0, 5, 9]);
}

#[test]
fn lists_are_counted_and_options_announced() {
    let octets = written(|out| {
        out.list_u8("list", [1, 2], Writer::u8);
        out.list_u16("list", [0; 0], Writer::u8);
        out.list_u32("list", [3], Writer::u16);
        out.optional(Some(4), Writer::u8);
        out.optional(None, Writer::u8);
        out.count_u8(5, "count");
    });
    assert_eq!(octets.unwrap(), [2, 1, 2, 0, 0, 0, 0, 0, 1, 0, 3, 1, 4, 0, 5]);
}

#[test]
fn what_does_not_fit_into_its_field_spoils_the_whole() {
    let long = Err(Malformed::Length("long"));
    assert!(written(|out| out.length_u8("long").raw(&[1; 255])).is_ok());
    assert_eq!(written(|out| out.length_u8("long").raw(&[1; 256])), long);
    assert!(written(|out| out.length_u16("long").raw(&[1; 65_535])).is_ok());
    assert_eq!(written(|out| out.length_u16("long").raw(&[1; 65_536])), long);
    assert!(written(|out| out.length_u16_from(0, "long").raw(&[1; 65_533])).is_ok());
    assert_eq!(written(|out| out.length_u16_from(0, "long").raw(&[1; 65_534])), long);
    assert_eq!(written(|out| out.length_u16_from(9, "long").u8(1)), long, "it begins behind its end");
    assert_eq!(written(|out| out.list_u8("long", [0; 256], Writer::u8)), long);
    assert_eq!(written(|out| out.list_u16("long", vec![0; 65_536], Writer::u8)), long);
    assert_eq!(written(|out| out.count_u8(256, "long")), long);
}

#[test]
fn the_first_fault_is_told() {
    let octets = written(|out| {
        out.length_u8("first").raw(&[1; 300]);
        out.length_u8("second").raw(&[1; 300]);
    });
    assert_eq!(octets, Err(Malformed::Length("first")));
}

#[test]
fn a_part_that_was_interrupted_cannot_pass_for_a_whole_one() {
    let mut writer = Writer::with_capacity(64);
    let interrupted = catch_unwind(AssertUnwindSafe(|| {
        let mut part = writer.length_u16("part");
        part.u8(1);
        panic!("in the middle of it");
    }));
    assert!(interrupted.is_err());
    writer.u8(2);
    assert_eq!(writer.finish(), Err(Malformed::Truncated(UNFINISHED)));
}

#[test]
fn neither_can_a_list_that_was_interrupted_nor_a_guard_that_was_forgotten() {
    let mut writer = Writer::with_capacity(64);
    let entry = |_: &mut Writer, number: u8| assert!(number < 2, "in the middle of it");
    let list = catch_unwind(AssertUnwindSafe(|| writer.list_u8("list", [1, 2, 3], entry)));
    assert!(list.is_err());
    assert_eq!(writer.finish(), Err(Malformed::Truncated(UNFINISHED)));
    let forgotten = written(|out| {
        let mut outer = out.length_u16("outer");
        std::mem::forget(outer.length_u16("inner"));
    });
    assert_eq!(forgotten, Err(Malformed::Truncated(UNFINISHED)));
}

#[test]
fn it_grows_as_needed() {
    let octets = written(|out| (0..1000).for_each(|number| out.u16(number)));
    let expected: Vec<u8> = (0..1000_u16).flat_map(u16::to_be_bytes).collect();
    assert_eq!(octets.unwrap(), expected);
}
