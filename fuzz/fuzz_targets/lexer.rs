//! Any bytes: tokens stand in order, inside of the text, and only white space and comments are between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use previewpg_proxy::sql::lexer::lex;
use previewpg_proxy::sql::literal;

fuzz_target!(|input: (Vec<u8>, bool)| {
    let (text, standard) = input;
    let mut last = 0;
    for token in lex(&text, standard) {
        let span = token.span();
        assert!(span.start >= last && span.end > span.start && span.end <= text.len());
        let gap = &text[last..span.start];
        let blank = gap.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c));
        assert!(blank || gap.windows(2).any(|pair| pair == b"--" || pair == b"/*"));
        if token.is_identifier() {
            // A replacement character takes three bytes where the text had one.
            assert!(literal::name(&text[span], token.kind).len() <= 3 * 63);
        } else if token.is_string() {
            let _ = literal::string_value(&text[span], token.kind);
        }
        last = token.end as usize;
    }
});
