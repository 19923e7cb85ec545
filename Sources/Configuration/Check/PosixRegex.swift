import Glibc

/// Compiles a POSIX extended regular expression to see whether it is one.
enum PosixRegex {
    /// Longer patterns are refused: compiling costs memory by the pattern.
    private static let octetsMax = 1024

    /// What is wrong with the pattern, in the C library's words; nil when it compiles.
    static func problem(in pattern: String) -> String? {
        guard !pattern.isEmpty else { return "it is empty" }
        guard pattern.utf8.count <= octetsMax else { return "it is longer than \(octetsMax) octets" }
        guard !pattern.utf8.contains(0) else { return "it holds a NUL" }
        var compiled = unsafe regex_t()
        // The pattern outlives the call; `compiled` is freed only when regcomp has filled it.
        let code = unsafe regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB)
        guard code != 0 else {
            unsafe regfree(&compiled)
            return nil
        }
        var message = [CChar](repeating: 0, count: 128)
        _ = unsafe regerror(code, &compiled, &message, message.count)
        let octets = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return String(decoding: octets, as: UTF8.self)
    }
}
