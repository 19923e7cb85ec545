// libFuzzer entry for the HTTP/1 codec. Compiled as one module with Sources/HTTP and the checks that HTTPTests runs too:
//
//   swiftc -sanitize=fuzzer,address -parse-as-library -O -swift-version 6 -package-name oncegate \
//       -enable-upcoming-feature ExistentialAny -enable-upcoming-feature MemberImportVisibility \
//       -enable-upcoming-feature InternalImportsByDefault -enable-experimental-feature Lifetimes \
//       Sources/HTTP/**/*.swift Tests/HTTPTests/Transcript.swift Tests/HTTPTests/FuzzCheck.swift Fuzz/HTTP/HTTPFuzzer.swift

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzHTTP(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // Safe: libFuzzer passes `count` readable octets that live during the call.
    checkAnyOctets(unsafe Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
