import HTTP
import Idempotency

/// A route as one worker uses it: its settings, prepared.
final class Route {
    /// What metrics and logs know the route by.
    let label: Int
    let settings: RouteSettings
    let pool: UpstreamPool
    let policy: Policy?
    // What requests ask for again and again, beside the structs that hold it: copying those counts all their
    // references.
    let timeouts: UpstreamTimeouts
    let isCovered: Bool
    /// Everything passes, and is watched.
    let isObserved: Bool
    /// What observations know the route by.
    let observedNumber: UInt32
    let onMissingKey: Policy.MissingKey
    let requestBodyBytesMax: Int
    let recordBodyBytesMax: Int
    let lateAnswerLimitMilliseconds: UInt64
    let keepsKey: Bool
    let renamesKey: Bool
    /// Whether `replay undelivered` needs to know about deliveries here.
    let tracksDelivery: Bool
    let allowsUpgrade: Bool
    /// What the policy's options add to answers; nil where there are none.
    let answerFields: AnswerFields?
    let addsFields: Bool
    /// Of requests that speak of repeatability; nil where the route does not. The token first.
    let repeatabilityNames: [[UInt8]]?
    private let inFlight: InFlightCounter?
    private let statuses: StatusRules
    let attemptPolicy: AttemptPolicy
    let identifier: Identifier
    /// `Name: true CRLF`; nil when the marker is off.
    let replayMarkerLine: [UInt8]?
    /// Names that Connection must not list: removing them would change who is asking for what.
    let protectedNames: [[UInt8]]
    /// Lower-case names that the proxy manages on this route, with `_` for `-`: a field that differs only so is
    /// refused.
    private let guardedNames: [[UInt8]]
    private let keyNames: [[UInt8]]
    private let markerName: [UInt8]?

    /// - Parameter observations: where a route with `mode observe` is known.
    init(
        label: Int, settings: RouteSettings, pool: UpstreamPool, inFlight: InFlightCounter?,
        observations: (any ObservationLog)? = nil
    ) throws(PolicyError) {
        self.label = label
        self.settings = settings
        self.pool = pool
        let policy = settings.policy ?? Policy()
        // A route that is observed is to its clients and its service as one without policy.
        let enforced = policy.mode == .enforce ? settings.policy : nil
        self.policy = enforced
        timeouts = settings.timeouts
        isCovered = enforced != nil
        if policy.mode == .observe, let observations {
            isObserved = true
            observedNumber = observations.register(settings.observed ?? ObservedRoute(name: settings.name))
        } else {
            isObserved = false
            observedNumber = 0
        }
        onMissingKey = policy.onMissingKey
        requestBodyBytesMax = policy.requestBodyBytesMax
        recordBodyBytesMax = policy.recordBodyBytesMax
        lateAnswerLimitMilliseconds = policy.lateAnswerLimitMilliseconds
        keepsKey = policy.forwardKey == .keep
        if case .rename = policy.forwardKey { renamesKey = true } else { renamesKey = false }
        tracksDelivery = enforced?.hash?.replay == .undelivered
        allowsUpgrade = settings.allowsUpgrade
        self.inFlight = inFlight
        attemptPolicy = AttemptPolicy(policy)
        statuses = policy.statuses
        identifier = try Identifier(route: settings.name, policy: policy, keys: settings.tokenKeys)
        answerFields = AnswerFields(enforced)
        addsFields = answerFields != nil
        let speaksRepeatability = enforced?.speaksRepeatability == true
        let repeatabilityNames = ["repeatability-request-id", "repeatability-first-sent", "repeatability-client-id"]
            .map { Array($0.utf8) }
        self.repeatabilityNames = speaksRepeatability ? repeatabilityNames : nil
        markerName = enforced?.replayMarker.map { Array($0.utf8) }
        replayMarkerLine = enforced?.replayMarker.map { Array("\($0): true\r\n".utf8) }
        let keyNames = (enforced?.keySources ?? []).compactMap { source in
            if case .header(let name) = source { Array(name.lowercased().utf8) } else { nil }
        }
        // What wins stands first.
        self.keyNames = (speaksRepeatability ? repeatabilityNames.prefix(1) : []) + keyNames
        var names = (speaksRepeatability ? repeatabilityNames : []) + keyNames
        switch enforced?.scope {
        case .header(let name)?: names.append(Array(name.lowercased().utf8))
        case .jwt(let scope)?: names.append(Array(scope.field.utf8))
        case .standard?, .cookie?, .clientCertificate?, .none?, nil: break
        }
        protectedNames = names
        let managed = [
            "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "content-length", "transfer-encoding",
        ]
        guardedNames = (names + managed.map { Array($0.utf8) }).map { name in
            name.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }
        }
    }

    func statusRule(_ status: UInt16) -> StatusRules.Rule { statuses[Int(status)] }

    /// Counts one more request; false when the route has as many as it may. Every `enter` is followed by one `leave`.
    func enter() -> Bool { inFlight?.enter() ?? true }

    func leave() { inFlight?.leave() }

    /// Services that map field names to variables take `X_Forwarded_For` for `X-Forwarded-For`; the proxy would not
    /// have checked it.
    func guardedFieldCollision(_ fields: borrowing FieldSection) -> StaticString? {
        for line in fields.lines where line.known == .other {
            let name = fields.name(line)
            guard name.containsUnderscore else { continue }
            for guarded in guardedNames where name.equalsWithUnderscores(guarded) {
                return "A field name with underscores stands for one that the proxy manages."
            }
        }
        return nil
    }

    // MARK: The key towards the service

    /// Marks the key's lines as not forwarded, and the marker's, which nobody but the proxy may set.
    func dropManaged(_ fields: inout FieldSection, isCovered: Bool) {
        fields.drop(.idempotentReplayed)
        if let markerName { Route.drop(markerName, from: &fields) }
        if let answerFields { answerFields.dropReserved(&fields) }
        guard isCovered, !keepsKey else { return }
        for name in keyNames { Route.drop(name, from: &fields) }
        for name in repeatabilityNames ?? [] { Route.drop(name, from: &fields) }
    }

    static func drop(_ name: [UInt8], from fields: inout FieldSection) {
        var start = 0
        while let index = fields.firstIndex(named: name, from: start) {
            fields.lines[index].isDropped = true
            start = index + 1
        }
    }

    /// An answer's own marker is dropped: only the proxy marks replays.
    func dropMarker(_ fields: inout FieldSection) {
        fields.drop(.idempotentReplayed)
        if let markerName { Route.drop(markerName, from: &fields) }
        if let answerFields { answerFields.dropReserved(&fields) }
    }

    /// Appends the key under its other name, for `forward_key rename`.
    func writeRenamedKey(_ fields: borrowing FieldSection, to output: inout [UInt8]) {
        guard case .rename(let newName)? = policy?.forwardKey else { return }
        for name in keyNames {
            guard let index = fields.firstIndex(named: name) else { continue }
            HTTP1Serialiser.field(
                name: Array(newName.utf8).span, value: fields.value(fields.lines[index]), to: &output)
            return
        }
    }
}

extension FieldSection: FieldSource {
    var fieldOctets: Span<UInt8> {
        @_lifetime(borrow self)
        get { octets.span }
    }

    var fieldLineCount: Int { lines.count }

    func fieldName(at line: Int) -> Range<Int> { lines[line].name.bounds }

    func fieldValue(at line: Int) -> Range<Int> { lines[line].value.bounds }
}

extension Span<UInt8> {
    var containsUnderscore: Bool {
        for index in indices where self[index] == UInt8(ascii: "_") { return true }
        return false
    }

    /// ASCII letters compare without case, and `-` as `_`; `folded` is in lower case and holds no `-`.
    func equalsWithUnderscores(_ folded: [UInt8]) -> Bool {
        guard count == folded.count else { return false }
        for index in indices {
            var octet = self[index]
            if octet >= 0x41 && octet <= 0x5A { octet |= 0x20 }
            if octet == UInt8(ascii: "-") { octet = UInt8(ascii: "_") }
            if octet != folded[index] { return false }
        }
        return true
    }
}

extension Array where Element == UInt8 {
    /// Appends the octets of a span.
    mutating func append(_ octets: Span<UInt8>) {
        octets.withUnsafeBufferPointer { append(contentsOf: $0) }
    }
}

extension RequestHead.Method {
    /// RFC 9110 §9.2.1; what the proxy takes for safe is never covered by default.
    var isSafe: Bool {
        switch self {
        case .get, .head, .options, .trace: true
        case .connect, .post, .put, .delete, .patch, .other: false
        }
    }
}

extension RequestHead {
    /// An absolute-form target that ends with its authority: the parser then takes a slash before it for the path.
    var isAuthorityOnly: Bool { form == .absolute && path.start < authority.start && !hasQuery }
}
