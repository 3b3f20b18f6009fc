//! The body of the ACL payload, in form and in words.
#![no_main]

use gdoi::policy::{Ace, Acl};
use gdoi::wire::{emit_acl, parse_acl};
use gdoi_fuzz::round_trip;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    round_trip(body, parse_acl, emit_acl);
    let Ok(acl) = parse_acl(body) else { return };
    assert_eq!(emit_acl(&acl).as_deref(), Ok(body), "a list has only one form");
    let again = acl.entries().iter().map(|ace| ace.to_string().parse::<Ace>().expect("what prints is read"));
    assert_eq!(Acl::new(again.collect()), Ok(acl));
});
