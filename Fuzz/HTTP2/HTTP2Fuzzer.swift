// libFuzzer entry for HTTP/2 sessions and PROXY headers, run by `Scripts/fuzz HTTP2`. Compiled as one module with the
// wire's sources and with the checks that HTTPTests runs too:
//
//   Sources/HTTP/**/*.swift
//   Tests/HTTPTests/HTTP2/Frames.swift
//   Tests/HTTPTests/HTTP2/HTTP2Peer.swift
//   Tests/HTTPTests/HTTP2/HTTP2FuzzCheck.swift
//
// See `checkAnyHTTP2Octets` for what an input's first octets choose.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHTTP2(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // Safe: libFuzzer passes `count` readable octets that live during the call.
    checkAnyHTTP2Octets(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
