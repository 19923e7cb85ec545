/// What a PROXY header says about the connection it stands before.
package struct ProxyHeader: Sendable, Equatable {
    package struct Endpoint: Sendable, Equatable {
        /// 4 octets of IPv4 or 16 of IPv6, in network order.
        package var address: [UInt8]
        package var port: UInt16

        package init(address: [UInt8], port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    /// Who connected to the sender. Nil: the header carries no address (LOCAL, UNKNOWN, or no IP connection), and the
    /// connection's own addresses hold.
    package var source: Endpoint?
    /// What that one connected to.
    package var destination: Endpoint?

    package init(source: Endpoint? = nil, destination: Endpoint? = nil) {
        self.source = source
        self.destination = destination
    }
}

/// Why octets are no PROXY header. The connection can only be closed: nothing tells where a request would begin.
package enum ProxyHeaderError: Error, Sendable, Equatable, CaseIterable {
    /// Neither version's first octets.
    case signatureExpected
    /// Version 1: no CRLF within 107 octets.
    case lineTooLong
    case malformedLine, invalidAddress, invalidPort
    /// Version 2.
    case unknownVersion, unknownCommand, unsupportedTransport, lengthTooSmall, lengthTooLarge, malformedTLV

    /// A stable name for logs and metric labels.
    package var reason: StaticString {
        switch self {
        case .signatureExpected: "signature-expected"
        case .lineTooLong: "line-too-long"
        case .malformedLine: "malformed-line"
        case .invalidAddress: "invalid-address"
        case .invalidPort: "invalid-port"
        case .unknownVersion: "unknown-version"
        case .unknownCommand: "unknown-command"
        case .unsupportedTransport: "unsupported-transport"
        case .lengthTooSmall: "length-too-small"
        case .lengthTooLarge: "length-too-large"
        case .malformedTLV: "malformed-tlv"
        }
    }
}
