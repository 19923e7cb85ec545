import HTTP
import Idempotency
import Observability

/// What a route's options add to the fields of an answer when it is sent. Nothing of it is in a record.
struct AnswerFields {
    /// `Repeatability-Result` (OASIS Repeatable Requests 1.0 §2.4): executed exactly once, or not executed because of
    /// what the request says of its repeatability. Neither where only one of both is known to be false.
    enum Result {
        case accepted
        case rejected
    }

    private let sendsExpiry: Bool
    private let speaksRepeatability: Bool
    let exposesFields: Bool
    /// What a script in a browser may want to read of ours.
    private let exposedNames: [[UInt8]]
    /// Nobody else may speak for the proxy.
    private let reservedNames: [[UInt8]]

    /// Nil where the policy has none of the options.
    init?(_ policy: Policy?) {
        guard let policy, policy.sendsExpiry || policy.speaksRepeatability || policy.exposesFields else { return nil }
        sendsExpiry = policy.sendsExpiry
        speaksRepeatability = policy.speaksRepeatability
        exposesFields = policy.exposesFields
        var reserved: [String] = []
        if policy.sendsExpiry { reserved.append("Idempotency-Expires") }
        if policy.speaksRepeatability { reserved.append("Repeatability-Result") }
        reservedNames = reserved.map { Array($0.utf8) }
        let marker = policy.replayMarker.map { [$0] } ?? []
        exposedNames = (marker + reserved + ["Proxy-Status", "Retry-After"]).map { Array($0.utf8) }
    }

    /// Lines of the client or the service that only the proxy may write are not passed on.
    func dropReserved(_ fields: inout FieldSection) {
        for name in reservedNames { Route.drop(name, from: &fields) }
    }

    /// Lines of a record without those that only the proxy may write: a service's, recorded while an option was off, or
    /// an operator's.
    func withoutReserved(_ lines: [UInt8]) -> [UInt8] {
        guard !reservedNames.isEmpty else { return lines }
        var kept: [UInt8] = []
        var copied = 0
        var start = 0
        let octets = lines.span
        while start < octets.count {
            var end = start
            while end < octets.count, octets[end] != UInt8(ascii: "\n") { end += 1 }
            end = min(end + 1, octets.count)
            if isReserved(octets.extracting(start..<end)) {
                kept += lines[copied..<start]
                copied = end
            }
            start = end
        }
        return copied == 0 ? lines : kept + lines[copied...]
    }

    private func isReserved(_ line: Span<UInt8>) -> Bool {
        for name in reservedNames where line.count > name.count && line[name.count] == UInt8(ascii: ":") {
            if line.extracting(0..<name.count).isName(name) { return true }
        }
        return false
    }

    /// Appends `name: value CRLF` each.
    /// - Parameters:
    ///   - expirySeconds: when the record expires; nil where none is promised.
    ///   - fieldLines: those of the answer, in the form of a record's.
    ///   - isCrossOrigin: the request names its origin.
    func write(
        _ result: Result?, expirySeconds: UInt64?, beside fieldLines: [UInt8], isCrossOrigin: Bool,
        to output: inout [UInt8]
    ) {
        if sendsExpiry, let expirySeconds {
            output.append(contentsOf: "Idempotency-Expires: ".utf8)
            HTTPDate.append(seconds: expirySeconds, to: &output)
            output.append(contentsOf: WireText.lineEnd)
        }
        if speaksRepeatability, let result {
            output.append(contentsOf: result == .accepted ? WireText.acceptedLine : WireText.rejectedLine)
        }
        if exposesFields, isCrossOrigin { writeExposed(beside: fieldLines, to: &output) }
    }

    /// One more line of `Access-Control-Expose-Headers` beside those of the service: the lines of a list are one list
    /// (RFC 9110 §5.3). A `*` of the service stays, and does not name for requests with credentials (Fetch, "CORS
    /// protocol and credentials"), so the names stand beside it.
    private func writeExposed(beside fieldLines: [UInt8], to output: inout [UInt8]) {
        var isFirst = true
        for name in exposedNames where !AnswerFields.exposes(name, in: fieldLines.span) {
            output.append(contentsOf: isFirst ? WireText.exposePrefix : WireText.listSeparator)
            output.append(contentsOf: name)
            isFirst = false
        }
        if !isFirst { output.append(contentsOf: WireText.lineEnd) }
    }

    /// Whether a line of the answer names the field already.
    private static func exposes(_ name: [UInt8], in lines: Span<UInt8>) -> Bool {
        var start = 0
        while start < lines.count {
            var end = start
            while end < lines.count, lines[end] != UInt8(ascii: "\r") { end += 1 }
            if end - start > fieldName.count, lines.extracting(start..<start + fieldName.count).isName(fieldName),
                lists(name, in: lines.extracting(start + fieldName.count..<end))
            {
                return true
            }
            start = end + 2
        }
        return false
    }

    private static func lists(_ name: [UInt8], in value: Span<UInt8>) -> Bool {
        var start = 0
        while start < value.count {
            var end = start
            while end < value.count, value[end] != UInt8(ascii: ",") { end += 1 }
            var element = start..<end
            while !element.isEmpty, value[element.lowerBound] == 0x20 || value[element.lowerBound] == 0x09 {
                element = element.lowerBound + 1..<element.upperBound
            }
            while !element.isEmpty, value[element.upperBound - 1] == 0x20 || value[element.upperBound - 1] == 0x09 {
                element = element.lowerBound..<element.upperBound - 1
            }
            if value.extracting(element).isName(name) { return true }
            start = end + 1
        }
        return false
    }

    private static let fieldName: [UInt8] = Array("access-control-expose-headers:".utf8)
}

extension Span<UInt8> {
    /// ASCII letters compare without case.
    fileprivate func isName(_ name: [UInt8]) -> Bool {
        guard count == name.count else { return false }
        for index in indices where lowercased(self[index]) != lowercased(name[index]) { return false }
        return true
    }
}

extension Exchange {
    /// What the options add to the first answer.
    func appendAnswerLines(to lines: inout [UInt8]) {
        guard let fields = route?.answerFields else { return }
        let isRecorded = recording.rule == .record && recording.isKept
        fields.write(
            repeatabilityResult, expirySeconds: isRecorded ? claim?.expirySeconds : nil, beside: fieldLines,
            isCrossOrigin: isCrossOrigin(fields), to: &lines)
    }

    private var repeatabilityResult: AnswerFields.Result? {
        // Without a record that stands, or with one that does not know it, nobody can say that it was executed once.
        guard isRepeatable, timeline.outcome != .unprotected, recording.rule == .record else { return nil }
        return .accepted
    }

    /// The marker and what the options add to a replay.
    func replayLines(of answer: RecordedAnswer) -> [UInt8] {
        let marker = route?.replayMarkerLine ?? []
        guard let fields = route?.answerFields else { return marker }
        var lines = marker
        fields.write(
            isRepeatable ? .accepted : nil, expirySeconds: replayed?.expirySeconds, beside: answer.fieldLines,
            isCrossOrigin: isCrossOrigin(fields), to: &lines)
        return lines
    }

    /// The recorded field lines that a replay sends.
    func recordedLines(of answer: RecordedAnswer) -> [UInt8] {
        route?.answerFields?.withoutReserved(answer.fieldLines) ?? answer.fieldLines
    }

    /// The recorded trailers that a replay sends.
    func recordedTrailers(of answer: RecordedAnswer) -> [UInt8] {
        guard head.acceptsTrailers else { return [] }
        return route?.answerFields?.withoutReserved(answer.trailerLines) ?? answer.trailerLines
    }

    /// What the options add to an error of the proxy's own.
    func lines(besides problem: Problem) -> [UInt8] {
        guard let fields = route?.answerFields, isIdempotent else { return [] }
        var lines: [UInt8] = []
        fields.write(
            isRepeatable ? problem.repeatabilityResult : nil, expirySeconds: nil, beside: [],
            isCrossOrigin: isCrossOrigin(fields), to: &lines)
        return lines
    }

    private func isCrossOrigin(_ fields: AnswerFields) -> Bool {
        fields.exposesFields && head.fields.firstIndex(named: "origin") != nil
    }
}

extension Problem {
    /// `rejected` only where the fields of the request are the reason; `accepted` where an attempt runs or ran, and no
    /// other ever will.
    var repeatabilityResult: AnswerFields.Result? {
        switch self {
        case .keyMalformed, .repeatabilityMalformed, .firstSentOutOfRange, .keyReused, .notImplemented: .rejected
        case .inProgress, .answerNotKept: .accepted
        case .keyMissing, .scopeMissing, .accessTokenInvalid, .outcomeUnknown, .storeUnavailable, .storeFull,
            .recordCorrupt, .notSent, .upstreamTimedOut, .upstreamBroken, .noUpstream, .badRequest, .contentTooLarge,
            .targetTooLong, .fieldsTooLarge, .methodNotAllowed, .versionNotSupported, .expectationFailed,
            .requestTimedOut, .noRoute, .overloaded, .draining, .loopDetected, .misdirected, .spoolUnavailable:
            nil
        }
    }
}
