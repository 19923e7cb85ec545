import Foundation
import TestSupport
import Testing

/// One scripted upstream and one proxy before it.
struct Pair {
    let upstream: ScriptedUpstream
    let proxy: ProxyProcess

    /// - Parameter idempotency: directives of the idempotency block of the one route.
    init(
        _ idempotency: String = "", crashAt: ProxyProcess.CrashPoint? = nil,
        script: @escaping ScriptedUpstream.Script = { _ in .answer() }
    ) throws {
        try self.init(upstream: ScriptedUpstream(script), idempotency, crashAt: crashAt)
    }

    /// - Parameter configure: further changes to the configuration.
    init(
        _ idempotency: String = "", configure: (inout ProxyConfiguration) -> Void,
        script: @escaping ScriptedUpstream.Script = { _ in .answer() }
    ) throws {
        try self.init(upstream: ScriptedUpstream(script), idempotency, configure: configure)
    }

    init(
        upstream: ScriptedUpstream, _ idempotency: String = "", crashAt: ProxyProcess.CrashPoint? = nil,
        configure: (inout ProxyConfiguration) -> Void = { _ in }
    ) throws {
        self.upstream = upstream
        var configuration = ProxyConfiguration(upstream, idempotency: idempotency)
        configure(&configuration)
        proxy = try ProxyProcess(configuration, crashAt: crashAt)
    }
}

extension Pair {
    /// Waits until so many requests join the one attempt in flight.
    func waitForWaiters(_ count: Int) throws {
        try poll("\(count) waiters") { try proxy.records().contains { $0["waiters"] as? Int == count } ? true : nil }
    }
}

/// Whether the second request is served the first one's record.
func areSame(_ pair: Pair, _ first: Request, _ second: Request) throws -> Bool {
    let before = pair.upstream.executions
    let answer = try pair.proxy.send(first)
    expectAnswer(answer)
    let repeated = try pair.proxy.send(second)
    let executions = pair.upstream.executions - before
    #expect(executions == (repeated.isReplay ? 1 : 2))
    if repeated.isReplay { expectOctets(repeated.body, answer.body) }
    return repeated.isReplay
}

/// Tokens that differ between tests and between runs.
func newKey() -> String {
    var generator = SystemRandomNumberGenerator()
    return "key-" + String(generator.next() as UInt64, radix: 36)
}

/// One of the proxy's own errors, as RFC 9457 and RFC 9209 want it.
func expectProblem(
    _ response: Response, _ name: String, status: Int, retryAfter: Bool? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(response.status == status, "\(response.text)", sourceLocation: sourceLocation)
    #expect(response["Content-Type"] == "application/problem+json", sourceLocation: sourceLocation)
    let object = (try? JSONSerialization.jsonObject(with: Data(response.body))) as? [String: Any] ?? [:]
    #expect(
        object["type"] as? String == "urn:oncegate:problem:\(name)", "\(response.text)", sourceLocation: sourceLocation)
    #expect(object["status"] as? Int == status, "\(response.text)", sourceLocation: sourceLocation)
    #expect((object["title"] as? String)?.isEmpty == false, "\(response.text)", sourceLocation: sourceLocation)
    #expect(response.fields[all: "Proxy-Status"].first?.hasPrefix("oncegate") == true, sourceLocation: sourceLocation)
    #expect(!response.isReplay, sourceLocation: sourceLocation)
    if let retryAfter {
        let seconds = response["Retry-After"].flatMap { Int($0) }
        #expect((seconds != nil) == retryAfter, "Retry-After \(seconds ?? -1)", sourceLocation: sourceLocation)
    }
}

/// The record of `first`, octet for octet.
func expectReplay(_ repeated: Response, of first: Response, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(
        repeated.isReplay, "status \(repeated.status): \(repeated.text.prefix(300))", sourceLocation: sourceLocation)
    #expect(repeated.status == first.status, sourceLocation: sourceLocation)
    expectOctets(repeated.body, first.body, sourceLocation: sourceLocation)
    #expect(repeated.comparableFields == first.comparableFields, sourceLocation: sourceLocation)
    #expect(!first.isReplay, sourceLocation: sourceLocation)
}

/// Equal, without a megabyte of numbers in the report where they are not.
func expectOctets(_ octets: [UInt8], _ expected: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
    let isEqual = octets == expected
    #expect(isEqual, "\(octets.count) octets, expected \(expected.count)", sourceLocation: sourceLocation)
}

/// A first answer: the service's own.
func expectAnswer(_ response: Response, status: Int = 201, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(response.status == status, "\(response.text.prefix(300))", sourceLocation: sourceLocation)
    #expect(response.fields[all: "Idempotent-Replayed"].isEmpty, sourceLocation: sourceLocation)
}

let outcomeMetric = "oncegate_idempotency_requests_total"

extension ProxyProcess {
    /// How many requests had this idempotency outcome.
    func outcomes(_ outcome: String) throws -> Int {
        Int(try metric(outcomeMetric, ["outcome": outcome]) ?? 0)
    }

    /// Metadata of every record, from the admin listener.
    func records(_ query: String = "") throws -> [[String: Any]] {
        let response = try adminGet("/records\(query)")
        guard response.status == 200 else { throw MalformedMessage("records \(response.status)", response.body) }
        let json = try JSONSerialization.jsonObject(with: Data(response.body))
        if let list = json as? [[String: Any]] { return list }
        return (json as? [String: Any])?["records"] as? [[String: Any]] ?? []
    }

    func waitForState(_ state: String, count: Int = 1) throws {
        _ = try poll("\(count) records in state \(state)") {
            try records("?state=\(state)").count >= count ? true : nil
        }
    }
}
