// libFuzzer entry for the HTTP/1 codec, run by `Scripts/fuzz HTTP`. Compiled as one module with the codec and with the
// checks that HTTPTests runs too:
//
//   Sources/HTTP/**/*.swift
//   Tests/HTTPTests/Transcript.swift
//   Tests/HTTPTests/FuzzCheck.swift
//
// An input's first octet chooses what is read, the second how it is split; see `checkAnyOctets`.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHTTP(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // Safe: libFuzzer passes `count` readable octets that live during the call.
    checkAnyOctets(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
