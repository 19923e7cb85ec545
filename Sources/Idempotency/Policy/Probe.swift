/// How the service is asked whether it executed a request whose outcome is not known.
package struct Probe: Sendable, Equatable {
    /// What an answer must be: a status of these, and all tests hold.
    package struct Condition: Sendable, Equatable {
        package var statuses: [ClosedRange<UInt16>]
        package var tests: [Test] = []

        package init(statuses: [ClosedRange<UInt16>]) {
            self.statuses = statuses
        }
    }

    package enum Test: Sendable, Equatable {
        /// The pointer has a value and, if there are values, one of these: strings as they are, numbers and literals as
        /// the body writes them.
        case json(pointer: String, values: [String])
        /// The expression is true, selects something or is a string that is not empty; if there are values, its string
        /// value is one of these.
        case xpath(String, values: [String])
        /// The body holds these octets.
        case contains(String)
    }

    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: Template

        package init(name: String, value: Template) {
            self.name = name
            self.value = value
        }
    }

    /// What completes the record when the request was found.
    package enum Answer: Sendable, Equatable {
        /// The probe's own answer.
        case probe
        case made(status: UInt16, fields: [Field], body: Template)
    }

    /// When the probe runs without a repeat that asks for it: first after `first`, then in intervals that double up to
    /// `max`; milliseconds.
    package struct Background: Sendable, Equatable {
        package var first: UInt64
        package var max: UInt64

        package init(first: UInt64, max: UInt64) {
            self.first = first
            self.max = max
        }
    }

    /// Origin-form; starts with a literal `/`. What a placeholder stands for is percent-encoded.
    package var target: Template
    package var fields: [Field] = []
    /// Fields of the request that the probe carries, too; lower case.
    package var forwardedFields: [String] = []
    /// Asked first; one that holds is enough. Never empty.
    package var found: [Condition] = []
    /// Asked second. What is neither stays unknown.
    package var absent: [Condition] = []
    package var answer: Answer = .probe
    package var timeoutMilliseconds: UInt64 = 5_000
    /// How long after the outcome became unknown an absence is believed: until then the service may still be executing
    /// what it got.
    package var absentAfterMilliseconds: UInt64 = 60_000
    /// Nil = only when a repeat meets the record.
    package var background: Background?
    /// Probes of one record without a repeat.
    package var attemptsMax = 20

    package init(target: Template) {
        self.target = target
    }
}

/// A text with values of a request, and of a probe's answer, in it. Each value is escaped for its place by who fills it
/// in.
package struct Template: Sendable, Equatable {
    package enum Part: Sendable, Equatable {
        case literal(String)
        case value(Source)
    }

    package enum Source: Sendable, Equatable {
        /// The request's token.
        case key
        case header(String)
        case query(String)
        case bodyJSON(String)
        case bodyXPath(String)
        case bodyForm(String)
        /// Of the probe's answer.
        case probeHeader(String)
        case probeJSON(String)
        case probeXPath(String)
        case probeBody
    }

    package var parts: [Part]

    package init(_ parts: [Part]) {
        self.parts = parts
    }

    /// The placeholders, in order.
    package var sources: [Source] {
        parts.compactMap { if case .value(let source) = $0 { source } else { nil } }
    }
}
