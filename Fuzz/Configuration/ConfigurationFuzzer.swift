// Scripts/fuzz Configuration compiles this with Sources/Configuration/**/*.swift in one module.

/// libFuzzer's entry point: any octets give a configuration or diagnostics, and what `fmt` writes stays as it is.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzerTestOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let octets = Array(UnsafeBufferPointer(start: start, count: count))
    // No file of the machine takes part.
    let files = ConfigurationFiles(
        read: { _ in .failure(ConfigurationFiles.Failure(message: "not here")) }, matches: { _ in [] },
        environment: { _ in nil })
    let checked = Configuration.check(octets, name: "fuzz.conf", files: files)
    _ = checked.diagnostics.report
    if checked.configuration == nil && !checked.diagnostics.hasErrors {
        preconditionFailure("neither a configuration nor an error")
    }
    if case .success(let once) = Formatter.format(octets, name: "fuzz.conf") {
        guard case .success(let twice) = Formatter.format(Array(once.utf8), name: "fuzz.conf"), once == twice else {
            preconditionFailure("fmt is not stable")
        }
    }
    return 0
}

@_cdecl("__lsan_is_turned_off")
public func leakSanitizerIsTurnedOff() -> CInt {
    1
}
