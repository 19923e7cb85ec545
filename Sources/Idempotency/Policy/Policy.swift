/// What one route asks of its records. Defaults are those of product.md.
package struct Policy: Sendable, Equatable {
    package enum Mode: Sendable, Equatable {
        case enforce
        /// Everything is forwarded; fingerprints and digests of answers are recorded, for the report.
        case observe
    }

    /// Where a token may stand; the first source that is present wins.
    package enum KeySource: Sendable, Equatable {
        /// A header field; the name is lower case.
        case header(String)
        case query(String)
        case cookie(String)
        /// An RFC 6901 pointer into a JSON body; the value must be a string or an integer.
        case jsonPointer(String)
        /// A field of an `application/x-www-form-urlencoded` body.
        case form(String)
        /// An XPath 1.0 expression over an XML body; the values of the nodes it selects, or its string.
        case xpath(String)
        /// wsa:MessageID in the header of a SOAP envelope.
        case soapMessageID
    }

    package enum MissingKey: Sendable, Equatable {
        /// Not covered: forwarded each time, and marked.
        case pass
        /// 400.
        case reject
        /// Identified by the fingerprint.
        case hash
    }

    /// Who is calling.
    package enum Scope: Sendable, Equatable {
        /// Authorization if sent, else the client's certificate, else anonymous.
        case standard
        case header(String)
        case cookie(String)
        case clientCertificate(CertificateName)
        case jwt(JWTScope)
        case none
    }

    /// What of a verified certificate names its holder.
    package enum CertificateName: Sendable, Equatable {
        case subject
        case alternativeNames
    }

    package enum InFlight: Sendable, Equatable {
        /// Join for at most this long, then 409.
        case wait(milliseconds: UInt64)
        case reject
    }

    package enum OnUnknown: Sendable, Equatable {
        /// 409 outcome-unknown until resolved.
        case hold
        /// Run again: at least once, the operator's explicit choice.
        case resend
        /// The service is asked what happened; hold while it does not say.
        case probe(Probe)
    }

    package enum OnStoreError: Sendable, Equatable {
        /// 503, upstream untouched.
        case reject
        /// Forwarded, marked and counted as unprotected.
        case pass
    }

    package enum ForwardKey: Sendable, Equatable {
        case keep
        case strip
        case rename(String)
    }

    package var mode: Mode = .enforce
    /// The methods that are covered; nil = every method but GET HEAD OPTIONS TRACE CONNECT. Methods are case-sensitive.
    package var methods: [String]?
    package var keySources: [KeySource] = [.header("idempotency-key")]
    /// Prefixes that XPaths use, beside `XMLNamespace.predefined`.
    package var xmlNamespaces: [XMLNamespace] = []
    package var onMissingKey: MissingKey = .pass
    /// What makes two requests the same. Nil = method, path, query and the body's octets, in token mode only.
    package var hash: HashRule?
    package var scope: Scope = .standard
    package var retentionMilliseconds: UInt64 = 24 * 3_600_000
    package var inFlight: InFlight = .wait(milliseconds: 10_000)
    package var waitersMax: Int = 64
    package var statuses = StatusRules()
    package var onUnknown: OnUnknown = .hold
    package var onStoreError: OnStoreError = .reject
    package var requestBodyBytesMax: Int = 8 << 20
    package var recordBodyBytesMax: Int = 8 << 20
    package var durability: Durability = .power
    package var forwardKey: ForwardKey = .keep
    /// The field that marks a replay; nil = replays are not marked.
    package var replayMarker: String? = "Idempotent-Replayed"
    /// How long after the 504 an answer is still read.
    package var lateAnswerLimitMilliseconds: UInt64 = 600_000
    /// OASIS Repeatable Requests 1.0: `Repeatability-Request-ID` is one more token, `Repeatability-First-Sent` and
    /// `Repeatability-Result` are spoken.
    package var speaksRepeatability = false
    /// Answers carry `Idempotency-Expires`.
    package var sendsExpiry = false
    /// The fields of ours are named in `Access-Control-Expose-Headers` of cross-origin answers.
    package var exposesFields = false

    package init() {}
}

/// What a commit survives.
package enum Durability: UInt8, Sendable, Equatable {
    /// A power cut: fdatasync before answering.
    case power
    /// kill -9 of the proxy, not a power cut.
    case process
}

/// What makes two requests the same. Method, path and query always count; `queryExcluded` names query parameters that
/// do not.
package struct HashRule: Sendable, Equatable {
    package enum BodyForm: Sendable, Equatable {
        case raw
        /// RFC 8785.
        case json
        /// `application/x-www-form-urlencoded`; order-free sorts the fields by name, keeping the order of equal names.
        case form(orderFree: Bool)
        /// `XMLTokenWriter`.
        case xml
        /// The same of an envelope of SOAP 1.1 or 1.2, without what of its header differs between attempts
        /// (`SOAPPlace`); the action counts.
        case soap
        /// `MultipartCanonicaliser`.
        case multipart
        /// The body does not count.
        case none
    }

    package enum Selector: Sendable, Equatable {
        /// RFC 6901 pointer; a `*` segment matches every member or element.
        case jsonPointer(String)
        case form(String)
        case query(String)
        /// XPath 1.0 that selects nodes of `body xml` or `body soap`.
        case xpath(String)
        /// The name of a part of `body multipart`.
        case part(String)
    }

    package enum Replay: UInt8, Sendable, Equatable {
        case always
        case undelivered
    }

    /// Lower-case names of header fields that count, each with all its lines.
    package var headers: [String] = []
    package var body: BodyForm = .raw
    /// When not empty, only these parts of the body count.
    package var include: [Selector] = []
    package var exclude: [Selector] = []
    /// How long two equal requests without token are the same request. Nil only where no request is identified by hash.
    package var windowMilliseconds: UInt64?
    package var replay: Replay = .always

    package init() {}
}

/// What becomes of an answer by its status: kept and replayed, forgotten so that the next attempt runs, or outcome not
/// known.
package struct StatusRules: Sendable, Equatable {
    package enum Rule: UInt8, Sendable, Equatable {
        case record
        case release
        case unknown
    }

    /// One rule per status 200…599, index = status − 200.
    private var rules: [Rule]

    package init() {
        rules = [Rule](repeating: .record, count: 400)
        for status in [401, 403, 407, 408, 421, 425, 429, 503] { self[status] = .release }
        for status in [502, 504] { self[status] = .unknown }
    }

    /// Statuses outside 200…599 are recorded.
    package subscript(status: Int) -> Rule {
        get { (200..<600).contains(status) ? rules[status - 200] : .record }
        set {
            guard (200..<600).contains(status) else { return }
            rules[status - 200] = newValue
        }
    }
}
