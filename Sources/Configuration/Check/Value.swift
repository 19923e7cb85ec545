import Idempotency

/// An argument, read as its type.
enum Value: Sendable, Equatable {
    case keyword(String)
    case integer(UInt64)
    /// Milliseconds.
    case duration(UInt64)
    /// Octets.
    case size(UInt64)
    case text(String)
    /// The path of a file, absolute once the checker has seen in which file it stands.
    case file(String)
    case endpoint(Configuration.Endpoint)
    case server(Configuration.Upstream.Server)
    case permissions(UInt32)
    case statuses(ClosedRange<UInt16>)
    case addressBlock(Configuration.AddressBlock)
    /// With the text that it was read from.
    case template(Template, text: String)
    case webhook(Configuration.Webhook)

    /// The value as a configuration writes it, in its canonical unit or spelling.
    var canonicalText: String {
        switch self {
        case .keyword(let text), .text(let text), .file(let text): text
        case .integer(let number): String(number)
        case .duration(let milliseconds): Unit.text(milliseconds, in: Unit.durations)
        case .size(let octets): Unit.text(octets, in: Unit.sizes)
        case .endpoint(let endpoint): endpoint.description
        case .server(let server): server.url
        case .permissions(let bits): "0" + String(bits, radix: 8)
        case .statuses(let range):
            range.count == 1 ? String(range.lowerBound) : "\(range.lowerBound)-\(range.upperBound)"
        case .addressBlock(let block): block.description
        case .template(_, let text): text
        case .webhook(let webhook): webhook.server.url + webhook.target
        }
    }
}

extension Configuration.Upstream.Server {
    /// `https://name:443`, `unix:/path` or `h2c+unix:/path`.
    var url: String {
        switch endpoint {
        case .network: "\(scheme.rawValue)://\(endpoint)"
        case .unix: (scheme == .http ? "" : "\(scheme.rawValue)+") + endpoint.description
        }
    }
}

/// Units of durations (in milliseconds) and sizes (in octets), the largest first.
struct Unit: Sendable {
    var name: String
    var factor: UInt64

    static let durations = [
        Unit(name: "d", factor: 86_400_000), Unit(name: "h", factor: 3_600_000), Unit(name: "m", factor: 60_000),
        Unit(name: "s", factor: 1000), Unit(name: "ms", factor: 1),
    ]
    static let sizes = [
        Unit(name: "TiB", factor: 1 << 40), Unit(name: "GiB", factor: 1 << 30), Unit(name: "MiB", factor: 1 << 20),
        Unit(name: "KiB", factor: 1 << 10), Unit(name: "B", factor: 1),
    ]

    /// In the largest unit that needs no fraction; days only from two on, as `24h` is what people write.
    static func text(_ amount: UInt64, in units: [Unit]) -> String {
        for unit in units where amount > 0 && amount.isMultiple(of: unit.factor) {
            if unit.name == "d", amount == unit.factor { continue }
            return "\(amount / unit.factor)\(unit.name)"
        }
        return "0\(units.contains { $0.name == "s" } ? "s" : "B")"
    }
}

/// What is wrong with an argument.
struct ValueProblem: Error, Sendable, Equatable {
    var message: String
    var hint: String?
    /// The rest is a warning, and this the value to go on with.
    var value: Value?

    init(_ message: String, hint: String? = nil, value: Value? = nil) {
        self.message = message
        self.hint = hint
        self.value = value
    }
}
