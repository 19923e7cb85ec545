import HTTP
package import Idempotency
package import Observability
import Synchronization
import Transport

/// What the admin listener tells and does beyond the proxy's own knowledge.
package struct AdminEnvironment: Sendable {
    package var version: String
    package var statistics: @Sendable () -> StoreStatistics
    package var log: Log

    package init(version: String, log: Log, statistics: @escaping @Sendable () -> StoreStatistics) {
        self.version = version
        self.log = log
        self.statistics = statistics
    }
}

/// The admin API: health, metrics, and the operator's hand on records. Metadata only: no key's source, no body, no
/// fields.
final class AdminHandler {
    private let server: Server
    private let environment: AdminEnvironment

    init(server: Server, environment: AdminEnvironment) {
        self.server = server
        self.environment = environment
    }

    func handle(_ request: AdminRequest, for connection: AdminConnection) {
        let path = request.path
        switch (request.head.method, path) {
        case (.get, "/livez"), (.head, "/livez"), (.get, "/startupz"), (.head, "/startupz"):
            connection.answer(AdminAnswer(status: 200, text: "ok\n"))
        case (.get, "/readyz"), (.head, "/readyz"):
            connection.answer(readiness())
        case (.get, "/metrics"):
            connection.answer(AdminAnswer(metrics: server.registry.exposition()))
        case (.get, "/status"):
            connection.answer(AdminAnswer(json: status()))
        case (.get, "/records"):
            list(request, connection)
        case (.get, let path) where path.hasPrefix("/records/"):
            show(String(path.dropFirst("/records/".count)), connection)
        case (.post, let path) where path.hasPrefix("/records/"):
            resolve(String(path.dropFirst("/records/".count)), request, connection)
        case (.get, _), (.head, _):
            connection.answer(AdminAnswer(status: 404, text: "no such page\n"))
        default:
            connection.answer(AdminAnswer(status: 405, text: "use GET; records are changed by POST /records/KEY/…\n"))
        }
    }

    // MARK: Health

    private func readiness() -> AdminAnswer {
        var reasons: [String] = []
        if server.shared.isDraining.load(ordering: .relaxed) { reasons.append("draining") }
        if !environment.statistics().isUp { reasons.append("the store is down") }
        if reasons.isEmpty { return AdminAnswer(json: "{\"ready\":true}\n") }
        let list = reasons.map { JSONText.string($0) }.joined(separator: ",")
        return AdminAnswer(status: 503, json: "{\"ready\":false,\"reasons\":[\(list)]}\n")
    }

    private func status() -> String {
        let statistics = environment.statistics()
        return """
            {"version":\(JSONText.string(environment.version)),\
            "workers":\(server.workers.count),"connections":\(server.shared.connections.load(ordering: .relaxed)),\
            "requests_in_flight":\(server.requestsInFlight),"draining":\(server.isDraining),\
            "store":{"up":\(statistics.isUp),"records":\(statistics.records),"open_claims":\(statistics.openClaims),\
            "unknowns":\(statistics.unknowns),"bytes_used":\(statistics.bytesUsed),"bytes_max":\(statistics.bytesMax)}}

            """
    }

    // MARK: Records

    private func list(_ request: AdminRequest, _ connection: AdminConnection) {
        var filter = RecordFilter()
        let parameters = request.parameters
        if let name = parameters["state"], !name.isEmpty {
            guard let state = RecordState(name: name) else {
                connection.answer(
                    AdminAnswer(
                        status: 400, text: "unknown state '\(name)': in_flight, completed, tombstone or unknown\n"))
                return
            }
            filter.states = [state]
        }
        if let route = parameters["route"], !route.isEmpty { filter.route = route }
        let now = connection.worker.wallMilliseconds
        if let text = parameters["older_than_ms"], !text.isEmpty {
            guard let age = UInt64(text) else {
                connection.answer(AdminAnswer(status: 400, text: "older_than_ms is a number of milliseconds\n"))
                return
            }
            filter.claimedThroughMilliseconds = now - min(now, age)
        }
        if let limit = parameters["limit"].flatMap({ Int($0) }), limit > 0 { filter.countMax = min(limit, 10_000) }
        connection.context.ask {
            .list(filter, $0)
        } _: { result in
            guard case .listed(let records) = result else {
                connection.answer(AdminAnswer(status: 503, text: "the store cannot list at the moment\n"))
                return
            }
            let probes = connection.context.shared.probes
            let items = records.map { JSONText.record($0, probes.history(of: $0.key), nowMilliseconds: now) }
                .joined(separator: ",\n ")
            connection.answer(AdminAnswer(json: "[\(items)]\n"))
        }
    }

    private func show(_ text: String, _ connection: AdminConnection) {
        guard let key = RecordKey(hexadecimal: text) else {
            connection.answer(AdminAnswer(status: 400, text: "a record key is 64 hexadecimal digits\n"))
            return
        }
        var filter = RecordFilter()
        filter.key = key
        let now = connection.worker.wallMilliseconds
        connection.context.ask {
            .list(filter, $0)
        } _: { result in
            guard case .listed(let records) = result, let record = records.first else {
                connection.answer(AdminAnswer(status: 404, text: "no record has this key\n"))
                return
            }
            let history = connection.context.shared.probes.history(of: key)
            connection.answer(AdminAnswer(json: JSONText.record(record, history, nowMilliseconds: now) + "\n"))
        }
    }

    private func resolve(_ text: String, _ request: AdminRequest, _ connection: AdminConnection) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let key = RecordKey(hexadecimal: String(parts[0])) else {
            connection.answer(AdminAnswer(status: 404, text: "POST /records/KEY/release, /forget or /resolve\n"))
            return
        }
        let resolution: Resolution
        switch parts[1] {
        case "release": resolution = .release
        case "forget": resolution = .forget
        case "resolve":
            do {
                resolution = .answer(try AdminHandler.answer(of: request))
            } catch {
                connection.answer(AdminAnswer(status: 400, text: error.description + "\n"))
                return
            }
        default:
            connection.answer(AdminAnswer(status: 404, text: "POST /records/KEY/release, /forget or /resolve\n"))
            return
        }
        let action = String(parts[1])
        let probes = connection.context.shared.probes
        connection.context.ask {
            .resolve(key, resolution, $0)
        } _: { [environment] result in
            if case .resolved(.done) = result { probes.removePending(key) }
            environment.log.audit(action, key, resolution, result, by: connection)
            connection.answer(AdminHandler.answer(to: result))
        }
    }

    private static func answer(to result: StoreResult) -> AdminAnswer {
        switch result {
        case .resolved(.done): AdminAnswer(json: "{\"done\":true}\n")
        case .resolved(.notFound): AdminAnswer(status: 404, text: "no record has this key\n")
        case .resolved(.refused(let state)):
            AdminAnswer(status: 409, text: "not possible: the record is \(state.name)\n")
        default: AdminAnswer(status: 503, text: "the store cannot do this at the moment\n")
        }
    }

    /// The answer that an operator gives: its status and fields stand in `Answer-Status` and `Answer-Field`, its body
    /// is the content.
    private static func answer(of request: AdminRequest) throws(StartError) -> RecordedAnswer {
        guard let text = request.values("answer-status").first,
            let status = UInt16(String(decoding: text, as: UTF8.self)), (200..<600).contains(status)
        else { throw StartError("Answer-Status must be a final status, 200 to 599") }
        var lines: [UInt8] = []
        for value in request.values("answer-field") {
            guard let colon = value.firstIndex(of: UInt8(ascii: ":")) else {
                throw StartError("Answer-Field must be 'Name: value'")
            }
            let name = Array(value[..<colon])
            let content = value[(colon + 1)...].drop { $0 == UInt8(ascii: " ") }
            switch KnownField(named: name.span) {
            case .contentLength, .transferEncoding, .connection:
                throw StartError("Answer-Field must not frame the answer: its length follows from the content")
            default: break
            }
            guard HTTP1Serialiser.field(name: name.span, value: Array(content).span, to: &lines) else {
                throw StartError("Answer-Field holds an invalid name or value")
            }
        }
        let hasBody = status != 204 && status != 304
        if hasBody { HTTP1Serialiser.contentLength(UInt64(request.body.count), to: &lines) }
        return RecordedAnswer(
            status: status, framing: hasBody ? .length : .none, fieldLines: lines, body: hasBody ? request.body : [])
    }
}

extension RecordState {
    /// As lists and the admin API write it.
    package var name: String {
        switch self {
        case .inFlight: "in_flight"
        case .completed: "completed"
        case .tombstone: "tombstone"
        case .unknown: "unknown"
        }
    }

    package init?(name: String) {
        guard let state = RecordState.allCases.first(where: { $0.name == name }) else { return nil }
        self = state
    }
}

/// JSON as the admin API writes it.
enum JSONText {
    static func string(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": out += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                out += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }

    static func record(
        _ record: RecordSummary, _ probes: ProbeRegistry.History?, nowMilliseconds now: UInt64
    ) -> String {
        let age = now - min(now, record.claimedAtMilliseconds)
        var members = [
            "\"key\":\"\(record.key.hexadecimal)\"", "\"route\":\(string(record.route))",
            "\"state\":\"\(record.state.name)\"",
            "\"kind\":\"\(record.kind == .token ? "token" : "hash")\"",
            "\"claimed_at_ms\":\(record.claimedAtMilliseconds)", "\"age_ms\":\(age)",
            "\"expires_at_ms\":\(record.expiresAtMilliseconds)", "\"epoch\":\(record.epoch)",
        ]
        if record.status != 0 {
            members.append("\"status\":\(record.status)")
            members.append("\"body_bytes\":\(record.bodyBytes)")
        }
        if let cause = record.unknownCause { members.append("\"cause\":\"\(cause.name)\"") }
        if record.unknownAtMilliseconds > 0 { members.append("\"unknown_at_ms\":\(record.unknownAtMilliseconds)") }
        if let probes, let result = probes.lastResult {
            members.append("\"probes\":\(probes.count)")
            members.append("\"last_probe_at_ms\":\(probes.lastAtMilliseconds)")
            members.append("\"last_probe\":\"\(result.label)\"")
        }
        if let settlement = record.settlement {
            members.append("\"settled_at_ms\":\(record.settledAtMilliseconds)")
            members.append("\"settled_by\":\"\(settlement.name)\"")
        }
        if record.isDelivered || record.isUndelivered { members.append("\"delivered\":\(record.isDelivered)") }
        if record.state == .inFlight { members.append("\"waiters\":\(record.waiters)") }
        return "{\(members.joined(separator: ","))}"
    }
}

extension Settlement {
    var name: String {
        switch self {
        case .lateAnswer: "late_answer"
        case .probe: "probe"
        case .operator: "operator"
        }
    }
}

extension UnknownCause {
    var name: String {
        switch self {
        case .timedOut: "timed_out"
        case .broken: "broken"
        case .status: "status"
        case .ownerDied: "owner_died"
        case .notStored: "not_stored"
        }
    }
}
