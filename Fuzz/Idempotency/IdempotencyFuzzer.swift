// Scripts/fuzz Idempotency compiles this with Sources/Idempotency/**/*.swift and
// Tests/IdempotencyTests/FuzzTarget.swift and Tests/IdempotencyTests/XMLTokenReader.swift
// and Tests/IdempotencyTests/JWTVectors.swift in one module.

/// libFuzzer's entry point; what is tried is in FuzzTarget.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzerTestOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    FuzzTarget.run(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}

/// Leaks are not looked for: a pointer in the payload of an enum carries the enum's tag, and the leak detector does not
/// know it again.
@_cdecl("__lsan_is_turned_off")
public func leakSanitizerIsTurnedOff() -> CInt {
    1
}
