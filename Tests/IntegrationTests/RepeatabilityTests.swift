import Foundation
import TestSupport
import Testing

/// OASIS Repeatable Requests 1.0 (B73).
@Suite(.blackBox) struct RepeatabilityTests {
    private static let on = "repeatability on;"

    private func date(_ secondsFromNow: Double = 0) -> String {
        imfDate(Date().addingTimeInterval(secondsFromNow))
    }

    private func fields(
        _ id: String?, _ firstSent: String?, client: String? = nil, _ more: [Field] = []
    ) -> [Field] {
        var fields: [Field] = []
        if let id { fields.append(Field("Repeatability-Request-ID", id)) }
        if let firstSent { fields.append(Field("Repeatability-First-Sent", firstSent)) }
        if let client { fields.append(Field("Repeatability-Client-ID", client)) }
        return fields + more
    }

    private func result(_ response: Response) -> [String] { response.fields[all: "Repeatability-Result"] }

    @Test("the first answer and its repeats are accepted, once; the service's own word does not count")
    func accepted() throws {
        let pair = try Pair(Self.on) { _ in
            .answer(201, [Field("Repeatability-Result", "rejected"), Field("X-Own", "1")], body: octets("done"))
        }
        let sent = fields("6e1c", date(), [Field("Repeatability-Result", "accepted")])
        let first = try pair.proxy.post("/", sent)
        expectAnswer(first)
        #expect(result(first) == ["accepted"])
        let request = try pair.upstream.request(0)
        #expect(request["Repeatability-Request-ID"] == "6e1c")
        #expect(request["Repeatability-First-Sent"] == sent[1].value)
        #expect(request.fields[all: "Repeatability-Result"].isEmpty)
        for _ in 0..<2 {
            let repeated = try pair.proxy.post("/", sent)
            expectReplay(repeated, of: first)
            #expect(result(repeated) == ["accepted"])
        }
        #expect(pair.upstream.executions == 1)
        // Other requests hear nothing of it.
        #expect(result(try pair.proxy.post(key: "K")).isEmpty)
        #expect(result(try pair.proxy.post()).isEmpty)
    }

    @Test("an answer that is forgotten says nothing: its repeat runs", arguments: [429, 503])
    func released(status: Int) throws {
        let pair = try Pair(Self.on) { _ in .answer(status, body: octets("busy")) }
        let sent = fields("6e1c", date())
        for executions in 1...2 {
            let response = try pair.proxy.post("/", sent)
            #expect(response.status == status)
            #expect(result(response).isEmpty)
            #expect(pair.upstream.executions == executions)
        }
    }

    @Test("B73 First-Sent from before the retention: 412 and rejected, the service untouched")
    func tooOld() throws {
        let pair = try Pair("\(Self.on) retention 1h;")
        let response = try pair.proxy.post("/", fields("a", date(-3605)))
        expectProblem(response, "first-sent-out-of-range", status: 412)
        #expect(result(response) == ["rejected"])
        #expect(pair.upstream.attempts == 0)
        #expect(result(try pair.proxy.post("/", fields("b", date(-3500)))) == ["accepted"])
        #expect(pair.upstream.executions == 1)
        #expect(try pair.proxy.outcomes("invalid_key") == 1)
    }

    @Test(
        "a record that still stands is replayed however old; when it is gone nothing runs again",
        arguments: [
            "store embedded { path $STORE; }", "store memory;",
        ])
    func standingRecord(store: String) throws {
        let pair = try Pair("\(Self.on) retention 4s;", configure: { $0.store = store })
        let old = date(-2)
        let first = try pair.proxy.post("/", fields("first", old))
        expectAnswer(first)
        var number = 0
        try poll("requests of that date are too old") {
            number += 1
            return try pair.proxy.post("/", fields("other-\(number)", old)).status == 412 ? true : nil
        }
        let executions = pair.upstream.executions
        let repeated = try pair.proxy.post("/", fields("first", old))
        expectReplay(repeated, of: first)
        #expect(result(repeated) == ["accepted"])
        try poll("the record is gone") {
            try pair.proxy.post("/", fields("first", old)).status == 412 ? true : nil
        }
        #expect(pair.upstream.executions == executions)
    }

    @Test("First-Sent in the future: a clock that is a little ahead, and one that is wrong")
    func future() throws {
        let pair = try Pair("\(Self.on) retention 10s; idempotency_expires on;")
        let ahead = date(40)
        let first = try pair.proxy.post("/", fields("a", ahead))
        expectAnswer(first)
        // Its record stands as long as its repeats are taken.
        let expiry = try #require(first["Idempotency-Expires"].flatMap(dateOfIMF))
        #expect(abs(expiry.timeIntervalSinceNow - 50) < 3)
        expectReplay(try pair.proxy.post("/", fields("a", ahead)), of: first)
        let wrong = try pair.proxy.post("/", fields("b", date(3600)))
        expectProblem(wrong, "first-sent-out-of-range", status: 412)
        #expect(result(wrong) == ["rejected"])
        #expect(pair.upstream.executions == 1)
    }

    @Test("what is malformed or incomplete: 400 and rejected")
    func malformed() throws {
        let pair = try Pair(Self.on)
        let now = date()
        let requests: [[Field]] = [
            fields("a", nil), fields(nil, now), fields(nil, nil, client: "c"), fields("", now), fields("a b", now),
            fields(String(repeating: "x", count: 256), now), fields("a", "yesterday"), fields("a", ""),
            fields("a", "2026-11-24T13:00:00Z"), fields("a", now.replacingOccurrences(of: "GMT", with: "UTC")),
            fields("a", "Sunday, 06-Nov-94 08:49:37 GMT"), fields("a", "Mon, 06 Nov 1994 08:49:37 GMT"),
            fields("a", "Sat, 31 Feb 2026 08:49:37 GMT"), fields("a", now) + fields("b", nil),
            fields("a", now) + fields(nil, now), fields("a", now, client: ""),
            fields("a", now, client: "c") + fields(nil, nil, client: "d"),
        ]
        for fields in requests {
            let response = try pair.proxy.post(key: "K", fields)
            expectProblem(response, "repeatability-malformed", status: 400)
            #expect(result(response) == ["rejected"], "\(fields)")
        }
        #expect(pair.upstream.attempts == 0)
    }

    @Test("the same id for another request, or with another date: 422 and rejected; the record stays")
    func mismatch() throws {
        let pair = try Pair(Self.on)
        let now = date()
        let first = try pair.proxy.post("/", fields("a", now))
        for response in [
            try pair.proxy.post("/", fields("a", now), body: "other"), try pair.proxy.post("/", fields("a", date(-60))),
            try pair.proxy.post("/other", fields("a", now)),
        ] {
            expectProblem(response, "key-reused", status: 422)
            #expect(result(response) == ["rejected"])
        }
        expectReplay(try pair.proxy.post("/", fields("a", now)), of: first)
        #expect(pair.upstream.executions == 1)
    }

    @Test("Client-ID is a part of the identity; ids and keys are one kind of token, and the id wins")
    func identity() throws {
        let pair = try Pair(Self.on)
        let now = date()
        let plain = try pair.proxy.post("/", fields("a", now))
        let one = try pair.proxy.post("/", fields("a", now, client: "one"))
        let two = try pair.proxy.post("/", fields("a", now, client: "two"))
        for answer in [plain, one, two] { expectAnswer(answer) }
        expectReplay(try pair.proxy.post("/", fields("a", now, client: "one")), of: one)
        expectReplay(try pair.proxy.post("/", fields("a", now)), of: plain)
        expectReplay(try pair.proxy.post(key: "K", fields("a", now)), of: plain)
        #expect(pair.upstream.executions == 3)
        // Two callers with one id are two.
        expectAnswer(try pair.proxy.post("/", fields("a", now, [Field("Authorization", "Bearer x")])))
    }

    @Test("409 while the first attempt runs is accepted; an unknown outcome promises nothing")
    func conflicts() throws {
        let release = Latch()
        let pair = try Pair("\(Self.on) in_flight reject;") {
            $0.path == "/never" ? .resetAfterRequest : .held(release)
        }
        let now = date()
        let first = Running { try pair.proxy.post("/", fields("a", now)) }
        try pair.upstream.waitForExecutions(1)
        let running = try pair.proxy.post("/", fields("a", now))
        expectProblem(running, "in-progress", status: 409)
        #expect(result(running) == ["accepted"])
        release.open()
        #expect(result(try first.join()) == ["accepted"])
        let broken = try pair.proxy.post("/never", fields("b", now))
        #expect(broken.status == 502)
        #expect(result(broken).isEmpty)
        let unknown = try pair.proxy.post("/never", fields("b", now))
        expectProblem(unknown, "outcome-unknown", status: 409)
        #expect(result(unknown).isEmpty)
    }

    @Test("a method that is not covered cannot be made repeatable: 501; a safe one needs nothing")
    func methods() throws {
        let pair = try Pair("\(Self.on) methods POST;")
        var put = Request.post("/", fields("a", date()))
        put.method = "PUT"
        let response = try pair.proxy.send(put)
        expectProblem(response, "not-implemented", status: 501)
        #expect(result(response) == ["rejected"])
        #expect(pair.upstream.attempts == 0)
        #expect(try pair.proxy.send(.get("/", fields("a", date()))).status == 201)
    }

    @Test("forward_key keeps the fields from the service, or gives the id another name")
    func forwarding() throws {
        let names = ["Repeatability-Request-ID", "Repeatability-First-Sent", "Repeatability-Client-ID"]
        let strip = try Pair("\(Self.on) forward_key strip;")
        expectAnswer(try strip.proxy.post("/", fields("a", date(), client: "c")))
        for name in names { #expect(try strip.upstream.request(0)[name] == nil) }
        let rename = try Pair("\(Self.on) forward_key rename X-Operation;")
        expectAnswer(try rename.proxy.post("/", fields("a", date(), client: "c")))
        for name in names { #expect(try rename.upstream.request(0)[name] == nil) }
        #expect(try rename.upstream.request(0)["X-Operation"] == "a")
        for name in names {
            let taken = fields("a", date(), client: "c", [Field("Connection", name)])
            #expect(try rename.proxy.post("/", taken).status == 400)
        }
    }

    @Test("without the directive the fields mean nothing here")
    func off() throws {
        let pair = try Pair { _ in .answer(201, [Field("Repeatability-Result", "accepted")], body: octets("x")) }
        let response = try pair.proxy.post("/", fields("a", "yesterday"))
        expectAnswer(response)
        #expect(result(response) == ["accepted"])
        #expect(try pair.upstream.request(0)["Repeatability-First-Sent"] == "yesterday")
    }
}

private func formatter() -> DateFormatter {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.timeZone = TimeZone(secondsFromGMT: 0)
    formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
    return formatter
}

/// IMF-fixdate, written by another hand than the proxy's.
func imfDate(_ date: Date) -> String { formatter().string(from: date) }

func dateOfIMF(_ text: String) -> Date? { formatter().date(from: text) }
