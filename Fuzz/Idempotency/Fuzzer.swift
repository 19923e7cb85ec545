/// libFuzzer's entry point; what is tried is in Tests/IdempotencyTests/FuzzTarget.swift.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    FuzzTarget.run(Array(UnsafeBufferPointer(start: start, count: count)))
    return 0
}
