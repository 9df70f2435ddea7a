//! Text encodings: what a file is written in, as UTF-8.

use std::io::{self, BufRead as _, BufReader, Cursor, Read};

use anabranch_engine::index::At as _;
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::error::SourceError;
use super::input::Text;

/// Bytes that are decoded at once.
const DECODE_BYTES: usize = 64 * 1024;

/// The encoding of a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum TextEncoding {
    /// UTF-8, or UTF-16 where a byte order mark says so.
    #[default]
    Utf8,
    /// ISO 8859-1 itself, whose bytes are the first 256 characters of Unicode. On the web the name
    /// stands for windows-1252, which differs in 27 of them.
    Latin1,
    /// UTF-16 in the byte order that its mark says, else little endian.
    Utf16,
    Other(&'static Encoding),
}

impl TextEncoding {
    /// The encoding of a name.
    pub(super) fn named(name: &str) -> Result<Self, SourceError> {
        let label = name.trim().to_ascii_lowercase().replace('_', "-");
        Ok(match label.as_str() {
            "utf-8" | "utf8" | "ascii" | "us-ascii" => Self::Utf8,
            "latin1" | "latin-1" | "iso-8859-1" | "iso8859-1" | "l1" => Self::Latin1,
            "utf-16" | "utf16" => Self::Utf16,
            "utf16le" => Self::Other(UTF_16LE),
            "utf16be" => Self::Other(UTF_16BE),
            "cp1252" => Self::Other(WINDOWS_1252),
            label => {
                let known = Encoding::for_label_no_replacement(label.as_bytes());
                Self::Other(known.ok_or_else(|| {
                    let expected = "an encoding such as utf-8, utf-16, latin1, windows-1252 or shift_jis";
                    let remedy = "name another, or convert the file, with iconv say";
                    SourceError::option("encoding", format!("\"{name}\""), expected, remedy)
                })?)
            }
        })
    }
}

/// Text in another encoding, as UTF-8.
///
/// Memory: 64 KiB of input and three times as much of text.
pub(super) struct Decoded {
    input: BufReader<Text>,
    conversion: Conversion,
    text: Vec<u8>,
    /// Text that has not been read lies in `at..text_end`.
    at: usize,
    text_end: usize,
    /// Set once bytes that mean nothing were met; the text before them is read first.
    malformed: bool,
    finished: bool,
    position: Position,
}

enum Conversion {
    Latin1,
    Decoder { decoder: Decoder, windows_1252: bool },
}

impl Decoded {
    /// The text of bytes in an encoding. UTF-8 is handed on as it is, since its readers check it.
    pub(super) fn of(mut bytes: Text, encoding: TextEncoding) -> io::Result<Text> {
        let mut head = Vec::with_capacity(2);
        if encoding == TextEncoding::Utf8 {
            bytes.by_ref().take(2).read_to_end(&mut head)?;
        }
        let marked = matches!(head.as_slice(), [0xff, 0xfe] | [0xfe, 0xff]);
        let conversion = match encoding {
            TextEncoding::Utf8 if !marked => return Ok(Box::new(Cursor::new(head).chain(bytes))),
            // The decoder follows the mark.
            TextEncoding::Utf8 | TextEncoding::Utf16 => {
                Conversion::Decoder { decoder: UTF_16LE.new_decoder(), windows_1252: false }
            }
            TextEncoding::Latin1 => Conversion::Latin1,
            TextEncoding::Other(other) => Conversion::Decoder {
                decoder: other.new_decoder_with_bom_removal(),
                windows_1252: other == WINDOWS_1252,
            },
        };
        let input: Text = Box::new(Cursor::new(head).chain(bytes));
        Ok(Box::new(Self {
            input: BufReader::with_capacity(DECODE_BYTES, input),
            conversion,
            text: vec![0; 3 * DECODE_BYTES + 16],
            at: 0,
            text_end: 0,
            malformed: false,
            finished: false,
            position: Position::default(),
        }))
    }

    /// Decodes a further piece.
    fn decode(&mut self) -> io::Result<()> {
        let source = self.input.fill_buf()?;
        let last = source.is_empty();
        let (read, written) = match &mut self.conversion {
            Conversion::Latin1 => {
                self.finished = last;
                (source.len(), encoding_rs::mem::convert_latin1_to_utf8(source, &mut self.text))
            }
            Conversion::Decoder { decoder, windows_1252 } => {
                // Bytes that windows-1252 leaves undefined, which the web takes for controls.
                let undefined = |b: &u8| matches!(b, 0x81 | 0x8d | 0x8f | 0x90 | 0x9d);
                let end = source.iter().position(undefined).filter(|_| *windows_1252);
                self.malformed = end == Some(0);
                let source = source.at(..end.unwrap_or(source.len()), "an undefined byte was found there");
                let (result, read, written) =
                    decoder.decode_to_utf8_without_replacement(source, &mut self.text, last);
                match result {
                    DecoderResult::InputEmpty => self.finished = last,
                    DecoderResult::OutputFull => {}
                    DecoderResult::Malformed(..) => self.malformed = true,
                }
                (read, written)
            }
        };
        self.input.consume(read);
        (self.at, self.text_end) = (0, written);
        self.position.advance(self.text.at(0..written, "decoded text is in its buffer"));
        Ok(())
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.text_end && !self.malformed && !self.finished {
            self.decode()?;
        }
        let text = self.text.at(self.at..self.text_end, "decoded text is in its buffer");
        if text.is_empty() && self.malformed {
            let Position { line, column, .. } = self.position;
            return Err(io::Error::other(Malformed { line, column }));
        }
        let count = text.len().min(buffer.len());
        buffer.split_at_mut(count).0.copy_from_slice(text.split_at(count).0);
        self.at += count;
        Ok(count)
    }
}

/// Bytes that mean nothing in the encoding of their file.
#[derive(Debug, thiserror::Error)]
#[error("bytes that are not of the file's encoding")]
pub(super) struct Malformed {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// The line and character behind a text, both from 1.
#[derive(Debug, Clone, Copy)]
struct Position {
    line: u64,
    column: u64,
    after_return: bool,
}

impl Default for Position {
    fn default() -> Self {
        Self { line: 1, column: 1, after_return: false }
    }
}

impl Position {
    fn advance(&mut self, text: &[u8]) {
        for byte in text {
            match byte {
                b'\n' if self.after_return => {}
                b'\n' | b'\r' => {
                    self.line += 1;
                    self.column = 1;
                }
                // Bytes within a character.
                0x80..0xc0 => {}
                _ => self.column += 1,
            }
            self.after_return = *byte == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns a few bytes at a time.
    struct Dribble(Cursor<Vec<u8>>, usize);

    impl Read for Dribble {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len());
            self.0.read(&mut buffer[..count])
        }
    }

    fn decoded(bytes: &[u8], encoding: &str, step: usize) -> Result<String, (String, u64, u64)> {
        let input = Box::new(Dribble(Cursor::new(bytes.to_vec()), step));
        let mut text = String::new();
        let mut read = Vec::new();
        let mut decoded = Decoded::of(input, TextEncoding::named(encoding).unwrap()).unwrap();
        if let Err(error) = decoded.read_to_end(&mut read) {
            let Malformed { line, column } = error.get_ref().unwrap().downcast_ref().unwrap();
            return Err((String::from_utf8(read).unwrap(), *line, *column));
        }
        text.push_str(std::str::from_utf8(&read).unwrap());
        Ok(text)
    }

    fn utf16(text: &str, big: bool) -> Vec<u8> {
        let bytes = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn malformed_bytes_are_named_after_the_text_before_them() {
        let lone = [utf16("a\r\nb\rc", false), vec![0, 0xd8]].concat();
        for step in 1..5 {
            assert_eq!(decoded(&lone, "utf-16", step), Err(("a\r\nb\rc".into(), 3, 2)));
            assert_eq!(decoded(b"x\n\x83", "shift_jis", step), Err(("x\n".into(), 2, 1)));
            assert_eq!(decoded(b"\xe9\x81", "windows-1252", step), Err(("é".into(), 1, 2)));
        }
    }

    #[test]
    fn latin1_is_no_windows_1252() {
        assert_eq!(decoded(b"\x80\xe9", "latin1", 1).unwrap(), "\u{80}é");
        assert_eq!(decoded(b"\x80\xe9", "windows-1252", 1).unwrap(), "€é");
        assert_eq!(decoded(b"\x80\xe9", "cp1252", 1).unwrap(), "€é");
        let error = TextEncoding::named("ebcdic").unwrap_err().to_string();
        assert!(error.starts_with("encoding: found \"ebcdic\", expected an encoding such as"), "{error}");
    }

    proptest! {
        #[test]
        fn a_text_is_the_same_in_every_encoding(
            text in "[a-zé€\u{1f600}\r\n,\"]{0,20}",
            big: bool,
            step in 1_usize..5,
        ) {
            let mark = if big { [0xfe, 0xff] } else { [0xff, 0xfe] };
            let marked = [mark.to_vec(), utf16(&text, big)].concat();
            prop_assert_eq!(decoded(&marked, "utf-16", step).unwrap(), text.as_str());
            prop_assert_eq!(decoded(&marked, "utf-8", step).unwrap(), text.as_str());
            let plain = utf16(&text, big);
            let order = if big { "utf-16be" } else { "utf-16le" };
            prop_assert_eq!(decoded(&plain, order, step).unwrap(), text.as_str());
            prop_assert_eq!(decoded(text.as_bytes(), "utf-8", step).unwrap(), text.as_str());
            let latin: String = text.chars().filter(|c| u32::from(*c) < 256).collect();
            let bytes: Vec<u8> = latin.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
            prop_assert_eq!(decoded(&bytes, "latin1", step).unwrap(), latin.as_str());
        }
    }
}
