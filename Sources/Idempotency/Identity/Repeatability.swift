/// The fields of OASIS Repeatable Requests 1.0 in a request.
///
/// `Repeatability-Request-ID` is its token, with `Repeatability-Client-ID`, if there is one, and
/// `Repeatability-First-Sent` says when the client made it. That date bounds when a request may run: records of
/// requests from before the retention may be gone, so what has no record then might be a repeat.
struct Repeatability: Sendable {
    private let requestID: Int
    private let clientID: Int
    private let firstSent: Int

    /// By how much a client's clock may be ahead.
    static let aheadMillisecondsMax: UInt64 = 60_000

    /// In lower case.
    static let fields = ["repeatability-request-id", "repeatability-client-id", "repeatability-first-sent"]

    init(wanted: inout WantedFields) throws(PolicyError) {
        requestID = try wanted.slot(of: Self.fields[0])
        clientID = try wanted.slot(of: Self.fields[1])
        firstSent = try wanted.slot(of: Self.fields[2])
    }

    func isPresent(_ gathered: borrowing GatheredFields) -> Bool {
        gathered.count(of: requestID) + gathered.count(of: clientID) + gathered.count(of: firstSent) > 0
    }

    /// The request's id. Nil where a client's id stands beside it: equal ids of two clients are two operations, and one
    /// value does not tell them apart.
    func soleToken(_ octets: Span<UInt8>, scratch: inout IdentityScratch) -> [UInt8]? {
        guard scratch.gathered.count(of: clientID) == 0, scratch.gathered.count(of: requestID) == 1,
            let id = scratch.gathered.next(of: requestID),
            Token.parse(octets.extracting(id.value), into: &scratch.token)
        else { return nil }
        return scratch.token
    }

    /// What the fields say; nil where there are none.
    struct Request {
        /// Where the date stands.
        var firstSent: Range<Int>
        var firstSentMilliseconds: UInt64
        var hasClientID: Bool
    }

    /// The token is in `scratch.token`, the client's id in `scratch.secondToken`.
    func read(
        _ octets: Span<UInt8>, nowMilliseconds now: UInt64, scratch: inout IdentityScratch
    ) throws(RepeatabilityError) -> Request? {
        let counts = (
            scratch.gathered.count(of: requestID), scratch.gathered.count(of: clientID),
            scratch.gathered.count(of: firstSent)
        )
        if counts == (0, 0, 0) { return nil }
        // The two that are required, one line each, and no two ids of the client.
        guard counts.0 == 1, counts.1 <= 1, counts.2 == 1, let id = scratch.gathered.next(of: requestID),
            let date = scratch.gathered.next(of: firstSent)?.value,
            Token.parse(octets.extracting(id.value), into: &scratch.token),
            let seconds = HTTPDate.seconds(octets.extracting(date))
        else { throw .malformed }
        if let client = scratch.gathered.next(of: clientID) {
            guard Token.parse(octets.extracting(client.value), into: &scratch.secondToken) else { throw .malformed }
        }
        let milliseconds = seconds * 1000
        // A date far ahead would let a repeat run after its record is gone.
        guard milliseconds <= now &+ Self.aheadMillisecondsMax else { throw .outOfRange }
        return Request(firstSent: date, firstSentMilliseconds: milliseconds, hasClientID: counts.1 == 1)
    }
}

package enum RepeatabilityError: Error, Equatable, Sendable {
    /// A field is malformed, double, or missing beside the others.
    case malformed
    /// The date is in the future.
    case outOfRange
}
