/// Where in a SOAP envelope an element stands, as far as it decides what counts.
///
/// Of the header, what a client's library makes anew for each attempt does not count: wsu:Timestamp, wsse:Nonce,
/// wsu:Created of a wsse:UsernameToken, wsa:MessageID. The body counts whole.
enum SOAPPlace: Sendable, Equatable {
    case envelope(namespace: Int)
    case header
    /// In the header; what its blocks hold.
    case headerContent
    case usernameToken
    case elsewhere
    // Not counted.
    case messageID
    case volatile
    /// The root is no envelope.
    case notSOAP

    var isExcluded: Bool { self == .messageID || self == .volatile }

    init(namespace: Int, local: Span<UInt8>, in parent: SOAPPlace?) {
        switch parent {
        case nil:
            let isEnvelope = namespace == XMLNamespaceID.soap11 || namespace == XMLNamespaceID.soap12
            self = isEnvelope && local.equals("Envelope") ? .envelope(namespace: namespace) : .notSOAP
        case .envelope(let outer)? where outer == namespace:
            self = local.equals("Header") ? .header : .elsewhere
        case .header?:
            let isAddressing = namespace == XMLNamespaceID.addressing || namespace == XMLNamespaceID.addressing2004
            self =
                isAddressing && local.equals("MessageID")
                ? .messageID : Self.content(namespace: namespace, local: local)
        case .headerContent?:
            self = Self.content(namespace: namespace, local: local)
        case .usernameToken?:
            if namespace == XMLNamespaceID.securityUtility, local.equals("Created") {
                self = .volatile
            } else {
                let place = Self.content(namespace: namespace, local: local)
                self = place == .headerContent ? .usernameToken : place
            }
        default:
            self = .elsewhere
        }
    }

    private static func content(namespace: Int, local: Span<UInt8>) -> SOAPPlace {
        switch namespace {
        case XMLNamespaceID.securityUtility where local.equals("Timestamp"): .volatile
        case XMLNamespaceID.security where local.equals("Nonce"): .volatile
        case XMLNamespaceID.security where local.equals("UsernameToken"): .usernameToken
        default: .headerContent
        }
    }
}

/// The wsa:MessageIDs of an envelope's header.
struct SOAPMessageIDs: Sendable {
    /// Octets that are kept of one; more is no token.
    private static let octetsMax = 1024
    private static let countMax = 16

    private(set) var texts: [[UInt8]] = []
    private var isOpen = false

    mutating func reset() {
        texts.removeAll(keepingCapacity: true)
        isOpen = false
    }

    mutating func begin() {
        isOpen = texts.count < Self.countMax
        texts.append([])
    }

    mutating func end() {
        isOpen = false
    }

    mutating func text(_ octets: Span<UInt8>) {
        guard isOpen, texts[texts.count - 1].count <= Self.octetsMax else { return }
        texts[texts.count - 1].append(octets.extracting(0..<min(octets.count, Self.octetsMax + 1)))
    }
}
