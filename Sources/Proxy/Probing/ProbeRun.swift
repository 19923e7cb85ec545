import HTTP
import Idempotency
import Transport

/// One probe under way: what is asked, about which outcome, and what came back. On one worker.
final class ProbeRun {
    /// The outcome that is asked about.
    struct Subject {
        var key: RecordKey
        var epoch: UInt64
        /// How long it had been unknown at `learned`.
        var ageMilliseconds: UInt64
        var learned: Instant

        func age(at now: Instant) -> UInt64 {
            let (sum, hasOverflowed) = ageMilliseconds.addingReportingOverflow(
                now.nanoseconds(since: learned) / 1_000_000)
            return hasOverflowed ? .max : sum
        }
    }

    let subject: Subject
    let route: Route
    let plan: ProbePlan
    let question: ProbeQuestion
    /// Of the request that is asked about; empty where it had none.
    let authority: [UInt8]
    /// When it was sent, the first attempt could not be executing any more. An answer tells what was true at some time
    /// after that.
    var provesAbsence = false
    var body: [UInt8] = []
    /// Nil until the whole answer is here.
    var reply: ProbeReply?
    var failure = ProbeResult.failed
    /// Called once, when the exchange has ended.
    var ended: (ProbeRun) -> Void = { _ in }

    init(subject: Subject, route: Route, plan: ProbePlan, question: ProbeQuestion, authority: [UInt8]) {
        self.subject = subject
        self.route = route
        self.plan = plan
        self.question = question
        self.authority = authority
    }

    /// The same question once more.
    func again() -> ProbeRun {
        ProbeRun(subject: subject, route: route, plan: plan, question: question, authority: authority)
    }

    /// The request's octets, to be parsed like those of a client.
    var headOctets: [UInt8] {
        var octets = Array("GET ".utf8)
        octets += question.target
        octets += " HTTP/1.1\r\nHost: ".utf8
        octets += authority.isEmpty ? Array(route.pool.serverText(0).utf8) : authority
        octets += "\r\n".utf8
        octets += question.fieldLines
        // What is encoded cannot be looked into, and what a cache remembers is not asked for.
        if !question.has("accept-encoding") { octets += "Accept-Encoding: identity\r\n".utf8 }
        if !question.has("cache-control") { octets += "Cache-Control: no-cache\r\n".utf8 }
        if !question.has("user-agent") { octets += "User-Agent: oncegate-probe\r\n".utf8 }
        return octets + Array("\r\n".utf8)
    }
}
