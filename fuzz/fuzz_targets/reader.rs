//! Any bytes: whatever is said of them stands inside of its statement; text is rendered again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use previewpg_proxy::sql::facts::{Role, read};
use previewpg_proxy::sql::patch::Edits;

fuzz_target!(|input: (Vec<u8>, bool)| {
    let (bytes, standard) = input;
    let mut last = 0;
    for statement in read(&bytes, standard).statements {
        let inside = |span: &std::ops::Range<usize>| span.start >= statement.span.start && span.end <= statement.span.end && span.start <= span.end;
        assert!(statement.span.start >= last && statement.span.end <= bytes.len());
        last = statement.span.end;
        assert!(statement.relations.iter().all(|relation| inside(&relation.span) && inside(&relation.name_span)));
        assert!(statement.relations.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start));
        assert!(statement.columns.iter().all(|column| column.parts.len() == column.spans.len() && column.spans.iter().all(inside)));
        assert!(statement.levels.iter().all(|level| inside(&level.query) && inside(&level.span) && inside(&level.list)));
        assert!(statement.writes.iter().all(|write| matches!(statement.relations[write.target].role, Role::Target(_)) && inside(&write.span)));
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        let mut edits = Edits::new();
        for relation in &statement.relations {
            edits.replace(relation.span.clone(), &text[relation.span.clone()]).expect("relations don't overlap");
        }
        assert_eq!(edits.render(text, statement.span.clone()).expect("they lie inside"), text[statement.span.clone()]);
    }
});
