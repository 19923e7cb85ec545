import Foundation
import TestSupport
import Testing

/// A service that refuses our certificate over TLS 1.3 has read nothing, and the request may go elsewhere. One that
/// sends the same alert later has: what it did is unknown, and a second attempt would be a second execution (C13).
@Suite(.blackBox) struct LateAlertTests {
    /// tlslite-ng, which sends an alert when it is told to.
    private final class Service: Sendable {
        private struct Line: Decodable {
            var port: Int?
            var executed: String?
        }

        let address: Address
        private let process: Subprocess

        init(_ manner: String) throws {
            let files = try TestCertificate.service.files
            let process = try Subprocess([
                Peer.python, "\(Peer.clients)/late_alert.py", manner, files.certificate, files.key,
            ])
            self.process = process
            TestScope.current?.atEnd {
                process.kill(SIGKILL)
                _ = try? process.waitForExit(until: .after(5))
            }
            TestScope.current?.describeOnFailure { "--- late_alert.py\n\(process.standardError.suffix(3000))" }
            address = .ipv4(
                port: try process.waitForOutput("the service's port") { Self.lines($0).first.flatMap(\.port) })
        }

        var executions: Int { Self.lines(process.standardOutput).count { $0.executed != nil } }

        private static func lines(_ output: String) -> [Line] {
            output.split(separator: "\n").compactMap { try? JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
        }
    }

    @Test(
        "C13 B42 bad_certificate after the request: the outcome is unknown, and the retry does not execute",
        arguments: ["ticket", "tls12", "interim"])
    func lateAlert(manner: String) throws {
        let service = try Service(manner)
        var configuration = ProxyConfiguration()
        try configuration.serve("https://\(service.address)")
        configuration.route = "idempotency { }"
        let proxy = try ProxyProcess(configuration)
        let first = try proxy.post(key: "K")
        #expect(first.status == 502, "\(first)")
        expectProblem(try proxy.post(key: "K"), "outcome-unknown", status: 409)
        #expect(service.executions == 1)
        #expect(try proxy.metric("oncegate_upstream_errors_total", ["kind": "certificate_refused"]) ?? 0 == 0)
    }
}
