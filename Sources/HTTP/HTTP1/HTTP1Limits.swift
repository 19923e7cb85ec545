/// What an HTTP/1 message may cost. Sizes are octets; every limit is inclusive.
package struct HTTP1Limits: Sendable, Equatable {
    /// The request line without its CRLF; 414 above.
    package var requestLineBytesMax: UInt32 = 8 << 10
    /// The whole request head, through its empty line; 431 above.
    package var headBytesMax: UInt32 = 32 << 10
    package var fieldsMax: UInt32 = 100
    /// One field line without its CRLF.
    package var fieldBytesMax: UInt32 = 16 << 10

    package var responseHeadBytesMax: UInt32 = 64 << 10
    package var responseFieldsMax: UInt32 = 200
    package var responseFieldBytesMax: UInt32 = 32 << 10

    /// Chunk extensions of one message together; 413 above.
    package var chunkExtensionBytesMax: UInt32 = 4 << 10
    /// Octets of chunked framing in one message that need no data to justify them; beyond, framing may be eight times
    /// the data.
    package var chunkOverheadBytesMax: UInt32 = 64 << 10
    /// The trailer section, through its empty line; 431 above.
    package var trailerBytesMax: UInt32 = 8 << 10
    package var trailersMax: UInt32 = 32

    package init() {}
}
