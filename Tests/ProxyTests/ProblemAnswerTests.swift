import Foundation
import HTTP
import Idempotency
import Testing

@testable import Proxy

@Suite struct ProblemAnswerTests {
    struct Form: Sendable, CustomTestStringConvertible {
        var problem: Problem
        var statusLine: String
        var error: String
        var retryAfter: Int?

        init(_ problem: Problem, _ statusLine: String, _ error: String, retryAfter: Int? = nil) {
            self.problem = problem
            self.statusLine = statusLine
            self.error = error
            self.retryAfter = retryAfter
        }

        var testDescription: String { problem.rawValue }
    }

    /// The wire contract. A client may depend on every word of it.
    static let forms = [
        Form(.keyMissing, "400 Bad Request", "http_request_error"),
        Form(.keyMalformed, "400 Bad Request", "http_request_error"),
        Form(.scopeMissing, "400 Bad Request", "http_request_error"),
        Form(.accessTokenInvalid, "401 Unauthorized", "http_request_error"),
        Form(.repeatabilityMalformed, "400 Bad Request", "http_request_error"),
        Form(.firstSentOutOfRange, "412 Precondition Failed", "http_request_error"),
        Form(.keyReused, "422 Unprocessable Content", "http_request_error"),
        Form(.inProgress, "409 Conflict", "http_request_denied", retryAfter: 1),
        Form(.outcomeUnknown, "409 Conflict", "http_request_denied"),
        Form(.answerNotKept, "409 Conflict", "http_request_denied"),
        Form(.storeUnavailable, "503 Service Unavailable", "proxy_internal_error", retryAfter: 5),
        Form(.storeFull, "503 Service Unavailable", "proxy_internal_error", retryAfter: 30),
        Form(.recordCorrupt, "503 Service Unavailable", "proxy_internal_error"),
        Form(.spoolUnavailable, "503 Service Unavailable", "proxy_internal_error", retryAfter: 5),
        Form(.notSent, "502 Bad Gateway", "connection_refused"),
        Form(.upstreamTimedOut, "504 Gateway Timeout", "http_response_timeout"),
        Form(.upstreamBroken, "502 Bad Gateway", "http_response_incomplete"),
        Form(.noUpstream, "503 Service Unavailable", "destination_unavailable", retryAfter: 1),
        Form(.badRequest, "400 Bad Request", "http_request_error"),
        Form(.contentTooLarge, "413 Content Too Large", "http_request_error"),
        Form(.targetTooLong, "414 URI Too Long", "http_request_error"),
        Form(.fieldsTooLarge, "431 Request Header Fields Too Large", "http_request_error"),
        Form(.methodNotAllowed, "405 Method Not Allowed", "http_request_error"),
        Form(.notImplemented, "501 Not Implemented", "http_request_error"),
        Form(.versionNotSupported, "505 HTTP Version Not Supported", "http_request_error"),
        Form(.expectationFailed, "417 Expectation Failed", "http_request_error"),
        Form(.requestTimedOut, "408 Request Timeout", "http_request_error"),
        Form(.noRoute, "404 Not Found", "destination_not_found"),
        Form(.overloaded, "503 Service Unavailable", "connection_limit_reached", retryAfter: 1),
        Form(.draining, "503 Service Unavailable", "proxy_internal_response", retryAfter: 5),
        Form(.loopDetected, "502 Bad Gateway", "proxy_loop_detected"),
        Form(.misdirected, "421 Misdirected Request", "http_request_error"),
    ]

    @Test func everyProblemHasItsForm() {
        #expect(Set(Self.forms.map(\.problem)) == Set(Problem.allCases))
    }

    private func write(_ answer: ProblemAnswer, closes: Bool = false) -> String {
        var output: [UInt8] = []
        HTTP1Serialiser.statusLine(answer.status, to: &output)
        output.append(contentsOf: answer.fieldLines)
        if closes { output.append(contentsOf: WireText.closeLine) }
        output.append(contentsOf: WireText.lineEnd)
        output.append(contentsOf: answer.content)
        return String(decoding: output, as: UTF8.self)
    }

    @Test(arguments: forms)
    func wireForm(form: Form) {
        let content =
            "{\"type\":\"urn:oncegate:problem:\(form.problem.rawValue)\",\"title\":\"\(form.problem.title)\","
            + "\"status\":\(form.problem.status)}"
        var lines = ["HTTP/1.1 \(form.statusLine)"]
        if form.problem == .accessTokenInvalid { lines.append("WWW-Authenticate: Bearer error=\"invalid_token\"") }
        lines += [
            "Content-Type: application/problem+json", "Cache-Control: no-store",
            "Proxy-Status: oncegate;error=\(form.error)",
        ]
        if let seconds = form.retryAfter { lines.append("Retry-After: \(seconds)") }
        if form.problem == .methodNotAllowed { lines.append("Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS") }
        lines.append("Content-Length: \(content.utf8.count)")
        #expect(
            write(ProblemAnswer(form.problem, detail: nil)) == lines.joined(separator: "\r\n") + "\r\n\r\n" + content)
    }

    @Test(arguments: Problem.allCases)
    func theContentIsJSONAndAsLongAsItSays(problem: Problem) throws {
        let message = Array(write(ProblemAnswer(problem, detail: "a \"quoted\\ word\"\r\n"), closes: true).utf8)
        var parser = ResponseParser()
        var head = ResponseHead()
        let end = try #require(try parser.parse(message.span, requestMethod: .post, into: &head))
        #expect(head.framing == .length(UInt64(message.count - end)))
        #expect(head.status == problem.status)
        #expect(!head.keepsAlive)
        let object = try JSONSerialization.jsonObject(with: Data(message[end...])) as? [String: Any]
        #expect(object?["type"] as? String == "urn:oncegate:problem:\(problem.rawValue)")
        #expect(object?["title"] as? String == problem.title)
        #expect(object?["status"] as? Int == Int(problem.status))
        #expect(object?["detail"] as? String == "a \"quoted\\ word\"  ")
    }

    /// gRPC over HTTP/2: the status stands in the fields, and HTTP's is 200.
    @Test(arguments: Problem.allCases)
    func grpcForm(problem: Problem) {
        let answer = ProblemAnswer.grpc(problem, detail: "50% of\n\u{e9}")
        #expect(answer.status == 200 && answer.content.isEmpty)
        let lines = String(decoding: answer.fieldLines, as: UTF8.self)
        #expect(lines.contains("Content-Type: application/grpc\r\nGrpc-Status: \(problem.grpcStatus)\r\n"))
        #expect(lines.contains("Grpc-Message: \(problem.rawValue): 50%25 of%0A%C3%A9\r\n"))
        #expect((1...16).contains(problem.grpcStatus))
    }

    @Test func grpcStatusesOfWhoIsCallingAndOfDates() {
        #expect(Problem.accessTokenInvalid.grpcStatus == 16)
        #expect(Problem.firstSentOutOfRange.grpcStatus == 9)
        #expect(Problem.repeatabilityMalformed.grpcStatus == 3)
    }

    @Test func theChallengeHoldsNoQuotes() {
        let text = write(ProblemAnswer(.accessTokenInvalid, detail: "a\"b\\c\r\nd\u{e9}"))
        let challenge = "WWW-Authenticate: Bearer error=\"invalid_token\", error_description=\"a b c  d  \"\r\n"
        #expect(text.contains(challenge))
    }

    @Test func aTombstoneTellsStatusSizeAndDigest() {
        let tombstone = Tombstone(status: 201, bodyBytes: 104_857_600, bodyDigest: Digest256(words: (1, 2, 3, 4)))
        let text = write(ProblemAnswer(tombstone))
        #expect(text.hasPrefix("HTTP/1.1 409 Conflict\r\n"))
        let digest = tombstone.bodyDigest.hexadecimal
        #expect(
            text.hasSuffix(#","status":409,"answer":{"status":201,"bytes":104857600,"sha256":"\#(digest)"}}"#))
    }

    @Test(arguments: HTTPError.allCases)
    func everyFaultOfARequestIsAProblemOfItsStatus(error: HTTPError) {
        // 502 is for answers only; a request cannot have such a fault.
        guard error.status != 502 else { return }
        #expect(Problem(error).status == error.status)
    }
}
