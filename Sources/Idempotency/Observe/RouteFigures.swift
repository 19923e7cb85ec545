/// What was observed of one route.
package struct RouteFigures: Sendable, Equatable {
    package struct Hour: Sendable, Equatable {
        /// The start of the hour, since the UNIX epoch.
        package var milliseconds: UInt64
        package var requests: UInt64 = 0
        package var duplicates: UInt64 = 0

        package init(milliseconds: UInt64, requests: UInt64 = 0, duplicates: UInt64 = 0) {
            self.milliseconds = milliseconds
            self.requests = requests
            self.duplicates = duplicates
        }
    }

    /// What `mode enforce` would have made of repeats, and what the service made of them.
    package struct Verdicts: Sendable, Equatable {
        // It would have replayed the first answer; the second time the service said:
        package var same: UInt64 = 0
        /// The same status with another body, or another of the fields that count.
        package var otherAnswer: UInt64 = 0
        package var otherStatus: UInt64 = 0
        /// The client had left before the first answer, so that nothing can be compared: it ran again.
        package var lost: UInt64 = 0
        /// The second answer was not read to its end.
        package var uncompared: UInt64 = 0

        /// It would have let it run: the first attempt did not reach the service, or its status is on the list
        /// `release`.
        package var runs: UInt64 = 0
        /// It would have answered 409: the outcome of the first attempt is not known.
        package var held: UInt64 = 0
        /// Of those that it would have replayed: the first attempt was still running.
        package var joined: UInt64 = 0

        package init() {}

        package var replayed: UInt64 { same &+ ranAgain &+ uncompared }
        /// Repeats that the service seems to have executed again.
        package var ranAgain: UInt64 { otherAnswer &+ otherStatus &+ lost }
    }

    package var route: ObservedRoute
    package var requests: UInt64 = 0
    package var firstMilliseconds: UInt64 = .max
    package var lastMilliseconds: UInt64 = 0

    // By what they name their operation by; the sum is `requests`.
    package var withToken: UInt64 = 0
    package var withoutToken: UInt64 = 0
    package var malformed: UInt64 = 0
    package var unscoped: UInt64 = 0
    package var unread: UInt64 = 0

    /// The same token with the same payload.
    package var duplicates: UInt64 = 0
    /// Without token: the payload of a request within the window before it.
    package var duplicatesWithoutToken: UInt64 = 0
    package var mismatches: UInt64 = 0
    /// Different tokens that had a mismatch.
    package var mismatchedTokens: UInt64 = 0
    /// A token of its own with the payload of a request within the window before it.
    package var otherKeys: UInt64 = 0

    package var verdicts = Verdicts()
    package var verdictsWithoutToken = Verdicts()

    /// From one request with a token to the next that is the same.
    package var gaps = GapHistogram()
    /// From one request without token to the next of the same payload, whatever the window.
    package var gapsWithoutToken = GapHistogram()
    /// From a request to the next of the same payload under another token.
    package var gapsOfOtherKeys = GapHistogram()
    /// From the first request with a token to each repeat.
    package var ages = GapHistogram()
    /// Without token: from the first of a chain in which no gap is longer than an hour.
    package var agesWithoutToken = GapHistogram()

    /// Repeats without token whose earlier attempt got no answer to its client, and those whose did, as far as it is
    /// known.
    package var afterLost: UInt64 = 0
    package var afterDelivered: UInt64 = 0
    /// The longest first attempt that a repeat did not wait for.
    package var joinedMillisecondsMax: UInt64 = 0

    /// Larger than `request_body_limit`.
    package var large: UInt64 = 0
    package var requestBytesMax: UInt64 = 0
    /// Not in the form that the route names.
    package var fellBackToOctets: UInt64 = 0

    /// Ascending; hours without request are not in it.
    package var hours: [Hour] = []

    package init(route: ObservedRoute) {
        self.route = route
    }

    package var allDuplicates: UInt64 { duplicates &+ duplicatesWithoutToken }
    package var ranAgain: UInt64 { verdicts.ranAgain &+ verdictsWithoutToken.ranAgain }
    package var replayed: UInt64 { verdicts.replayed &+ verdictsWithoutToken.replayed }
}
