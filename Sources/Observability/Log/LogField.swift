/// A typed piece of data beside a log's message. Names are literals; values are escaped when they are written.
package struct LogField: Sendable {
    enum Value: Sendable {
        case string(String)
        case octets([UInt8])
        case signed(Int64)
        case unsigned(UInt64)
        case bool(Bool)
        case double(Double)
        case nanoseconds(UInt64)
        case hex(UInt64)
    }

    var name: StaticString
    var value: Value
    /// Said in the message too.
    var isSubject = false

    package static func string(_ name: StaticString, _ value: String) -> Self {
        Self(name: name, value: .string(value))
    }

    /// A string that also ends the message: `log.info("listening on", .subject("address", "127.0.0.1:80"))`.
    package static func subject(_ name: StaticString, _ value: String) -> Self {
        Self(name: name, value: .string(value), isSubject: true)
    }

    package static func string(_ name: StaticString, _ value: StaticString) -> Self {
        Self(name: name, value: .string(value.description))
    }

    package static func octets(_ name: StaticString, _ value: [UInt8]) -> Self {
        Self(name: name, value: .octets(value))
    }

    package static func int(_ name: StaticString, _ value: some BinaryInteger) -> Self {
        if value.signum() < 0 {
            return Self(name: name, value: .signed(Int64(clamping: value)))
        }
        return Self(name: name, value: .unsigned(UInt64(clamping: value)))
    }

    package static func bool(_ name: StaticString, _ value: Bool) -> Self {
        Self(name: name, value: .bool(value))
    }

    package static func double(_ name: StaticString, _ value: Double) -> Self {
        Self(name: name, value: .double(value))
    }

    /// A duration, written in seconds.
    package static func nanoseconds(_ name: StaticString, _ value: UInt64) -> Self {
        Self(name: name, value: .nanoseconds(value))
    }

    /// 16 hexadecimal digits: the beginning of a key's hash, for one.
    package static func hex(_ name: StaticString, _ value: UInt64) -> Self {
        Self(name: name, value: .hex(value))
    }
}
