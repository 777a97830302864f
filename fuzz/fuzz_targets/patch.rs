//! Any edits of any text: refused, or applied so that the rest stays and positions are found again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use previewpg_proxy::sql::patch::Edits;

fuzz_target!(|input: (String, Vec<(u8, u8, String)>, u16)| {
    let (text, list, position) = input;
    let mut edits = Edits::new();
    for (start, length, new) in list {
        let start = usize::from(start);
        let _ = edits.replace(start..start + usize::from(length), new);
    }
    let Ok(rendered) = edits.render(&text, 0..text.len()) else { return };
    // What is meant for another statement's text is left out.
    let inside = || edits.iter().filter(|edit| edit.span.end <= text.len());
    let removed: usize = inside().map(|edit| edit.span.len()).sum();
    let added: usize = inside().map(|edit| edit.text.len()).sum();
    assert_eq!(rendered.len() + removed, text.len() + added);
    let found = edits.original_position(&text, 0..text.len(), usize::from(position)).expect("it was rendered");
    assert!(found >= 1 && found <= text.chars().count() + 1);
});
