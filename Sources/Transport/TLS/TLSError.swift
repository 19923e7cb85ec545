internal import COpenSSL

/// A certificate, key or bundle that can't be used: what is wrong, with which file, and what to do.
package struct TLSError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Kind: String, Sendable {
        /// The file is missing or can't be read.
        case unreadable
        /// It holds something else than it should.
        case malformed
        /// The key is another certificate's.
        case mismatch
        case encryptedKey
        /// Or is not valid yet, see `validFromUnixSeconds`.
        case expired
        /// A warning: every user of the machine can read the key.
        case exposedKey
        /// Key, signature or parameters are weaker than security level 2 allows.
        case weak
        /// libssl refused, or there is no memory.
        case other
    }

    package let kind: Kind
    /// Empty when no file is to blame.
    package let path: String
    /// "cannot be read: No such file or directory".
    package let problem: String
    /// "check the path".
    package let advice: String
    /// When what is refused will be good, if nothing but time is missing.
    package let validFromUnixSeconds: Int64?

    package init(
        kind: Kind, path: String, problem: String, advice: String, validFromUnixSeconds: Int64? = nil
    ) {
        self.validFromUnixSeconds = validFromUnixSeconds
        self.kind = kind
        self.path = path
        self.problem = problem
        self.advice = advice
    }

    package var description: String {
        (path.isEmpty ? "" : "\(path): ") + problem + (advice.isEmpty ? "" : "; \(advice)")
    }

    /// libssl's own last word on what failed, which empties its list of errors.
    static func library(_ action: String, path: String = "", advice: String = "") -> TLSError {
        TLSError(kind: .other, path: path, problem: "\(action): \(takeReason())", advice: advice)
    }

    /// The text of libssl's last error; empties its list.
    static func takeReason() -> String {
        let code = ERR_peek_last_error()
        defer { ERR_clear_error() }
        return ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)"
    }
}
