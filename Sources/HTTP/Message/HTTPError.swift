/// Why a message is refused. A message is never repaired: after any of these the connection can only be closed.
package enum HTTPError: Error, Sendable, Equatable, CaseIterable {
    // Octets and lines.
    case invalidFirstOctet, bareLineFeed, bareCarriageReturn, controlOctet

    // Start line.
    case malformedRequestLine, invalidMethod, methodTooLong, connectNotSupported, invalidTarget, requestLineTooLong
    case malformedVersion, versionNotSupported, malformedStatusLine, invalidStatus

    // Field lines.
    case whitespaceBeforeFirstField, obsoleteFold, whitespaceBeforeColon, emptyFieldName, invalidFieldName, missingColon
    case headTooLarge, tooManyFields, fieldTooLong

    // Host and target.
    case hostMissing, duplicateHost, invalidHost, malformedEscape, nulInPath, pathAboveRoot

    // Framing.
    case duplicateContentLength, invalidContentLength, duplicateTransferEncoding, invalidTransferEncoding
    case unsupportedTransferCoding, transferEncodingInHTTP10, conflictingFraming

    // Other fields with a meaning for the connection.
    case malformedConnection, tooManyConnectionOptions, protectedFieldInConnection, unknownExpectation

    // Body.
    case invalidChunkSize, invalidChunkExtension, chunkNotTerminated, chunkExtensionsTooLarge, chunkOverheadTooLarge
    case trailersTooLarge, tooManyTrailers, incomplete

    /// The status of the answer when a request is refused; 502 where only a response can be at fault.
    package var status: UInt16 {
        switch self {
        case .chunkExtensionsTooLarge, .chunkOverheadTooLarge: 413
        case .requestLineTooLong: 414
        case .unknownExpectation: 417
        case .headTooLarge, .tooManyFields, .fieldTooLong, .trailersTooLarge, .tooManyTrailers: 431
        case .methodTooLong, .connectNotSupported, .unsupportedTransferCoding: 501
        case .malformedStatusLine, .invalidStatus: 502
        case .versionNotSupported: 505
        default: 400
        }
    }

    /// A stable name for logs and metric labels.
    package var reason: StaticString {
        switch self {
        case .invalidFirstOctet: "invalid-first-octet"
        case .bareLineFeed: "bare-line-feed"
        case .bareCarriageReturn: "bare-carriage-return"
        case .controlOctet: "control-octet"
        case .malformedRequestLine: "malformed-request-line"
        case .invalidMethod: "invalid-method"
        case .methodTooLong: "method-too-long"
        case .connectNotSupported: "connect-not-supported"
        case .invalidTarget: "invalid-target"
        case .requestLineTooLong: "request-line-too-long"
        case .malformedVersion: "malformed-version"
        case .versionNotSupported: "version-not-supported"
        case .malformedStatusLine: "malformed-status-line"
        case .invalidStatus: "invalid-status"
        case .whitespaceBeforeFirstField: "whitespace-before-first-field"
        case .obsoleteFold: "obsolete-fold"
        case .whitespaceBeforeColon: "whitespace-before-colon"
        case .emptyFieldName: "empty-field-name"
        case .invalidFieldName: "invalid-field-name"
        case .missingColon: "missing-colon"
        case .headTooLarge: "head-too-large"
        case .tooManyFields: "too-many-fields"
        case .fieldTooLong: "field-too-long"
        case .hostMissing: "host-missing"
        case .duplicateHost: "duplicate-host"
        case .invalidHost: "invalid-host"
        case .malformedEscape: "malformed-escape"
        case .nulInPath: "nul-in-path"
        case .pathAboveRoot: "path-above-root"
        default: bodyReason
        }
    }

    private var bodyReason: StaticString {
        switch self {
        case .duplicateContentLength: "duplicate-content-length"
        case .invalidContentLength: "invalid-content-length"
        case .duplicateTransferEncoding: "duplicate-transfer-encoding"
        case .invalidTransferEncoding: "invalid-transfer-encoding"
        case .unsupportedTransferCoding: "unsupported-transfer-coding"
        case .transferEncodingInHTTP10: "transfer-encoding-in-http10"
        case .conflictingFraming: "conflicting-framing"
        case .malformedConnection: "malformed-connection"
        case .tooManyConnectionOptions: "too-many-connection-options"
        case .protectedFieldInConnection: "protected-field-in-connection"
        case .unknownExpectation: "unknown-expectation"
        case .invalidChunkSize: "invalid-chunk-size"
        case .invalidChunkExtension: "invalid-chunk-extension"
        case .chunkNotTerminated: "chunk-not-terminated"
        case .chunkExtensionsTooLarge: "chunk-extensions-too-large"
        case .chunkOverheadTooLarge: "chunk-overhead-too-large"
        case .trailersTooLarge: "trailers-too-large"
        case .tooManyTrailers: "too-many-trailers"
        default: "incomplete"
        }
    }
}
