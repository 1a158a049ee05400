//! The frame headers of an HTTP/2 connection, read as the bytes pass (RFC 9113 section 4.1). Payloads are skipped.

/// The kinds of frame that are distinguished.
pub(super) mod kind {
    /// A part of a body.
    pub const DATA: u8 = 0;
    /// A request, an answer, or trailers.
    pub const HEADERS: u8 = 1;
    /// An older client's wish about the order of answers.
    pub const PRIORITY: u8 = 2;
    /// The end of one stream.
    pub const RST_STREAM: u8 = 3;
    /// More of a `HEADERS` frame.
    pub const CONTINUATION: u8 = 9;
    /// Leave to send more.
    pub const WINDOW_UPDATE: u8 = 8;
}

/// Of `DATA` and `HEADERS`: nothing follows on this stream.
pub(super) const END_STREAM: u8 = 1;
/// The length of a frame's header.
const HEADER: usize = 9;

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// One of [`kind`], or another.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream that it belongs to; 0 = the connection.
    pub stream: u32,
    /// The length of its payload.
    pub length: u32,
}

impl Frame {
    /// True if nothing follows on the stream in this direction.
    pub fn ends_stream(self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Finds the frame headers in one direction of a connection, however the bytes are cut into pieces.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    header: [u8; HEADER],
    filled: usize,
    payload: usize,
}

impl FrameReader {
    /// Calls `each` for every header that `bytes` complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
        loop {
            let skipped = bytes.len().min(self.payload);
            self.payload -= skipped;
            let Some((&byte, rest)) = bytes.get(skipped..).and_then(<[u8]>::split_first) else { return };
            bytes = rest;
            if let Some(place) = self.header.get_mut(self.filled) {
                *place = byte;
            }
            self.filled += 1;
            if self.filled == HEADER {
                self.filled = 0;
                let frame = parse(self.header);
                self.payload = frame.length as usize;
                each(frame);
            }
        }
    }
}

fn parse([l0, l1, l2, kind, flags, s0, s1, s2, s3]: [u8; HEADER]) -> Frame {
    // The first bit of the stream is reserved.
    let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
    Frame { kind, flags, stream, length: u32::from_be_bytes([0, l0, l1, l2]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_however_the_bytes_are_cut() {
        let bytes = b"\x00\x00\x03\x00\x01\x80\x00\x00\x07abc\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x01\x00\x01\x04\x00\x00\x00\x09";
        let expected = [
            Frame { kind: kind::DATA, flags: END_STREAM, stream: 7, length: 3 },
            Frame { kind: 4, flags: 0, stream: 0, length: 0 },
            Frame { kind: kind::HEADERS, flags: 4, stream: 9, length: 256 },
        ];
        for size in 1..=bytes.len() {
            let (mut reader, mut found) = (FrameReader::default(), Vec::new());
            for piece in bytes.chunks(size) {
                reader.feed(piece, |frame| found.push(frame));
            }
            assert_eq!(found, expected, "in pieces of {size}");
        }
        assert!(expected[0].ends_stream() && !expected[1].ends_stream() && !expected[2].ends_stream());
    }
}
