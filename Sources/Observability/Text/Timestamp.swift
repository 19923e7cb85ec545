/// Times of the log: RFC 3339 in UTC with milliseconds, `2026-01-02T03:04:05.678Z`. The text of the second is kept.
package struct TimestampFormatter: Sendable {
    private var second: UInt64 = .max
    private var text: InlineArray<20, UInt8> = .init(repeating: 0)

    package init() {}

    /// Appends the 24 octets of a time. Years above 9999 lose their higher digits.
    /// - Parameter milliseconds: since the UNIX epoch, leap seconds not counted.
    @inline(__always)
    package mutating func append(milliseconds: UInt64, to buffer: inout TextBuffer) {
        if milliseconds / 1000 != second {
            cache(milliseconds / 1000)
        }
        buffer.append(text.span)
        buffer.append(decimal: milliseconds % 1000, digits: 3)
        buffer.append(UInt8(ascii: "Z"))
    }

    private mutating func cache(_ second: UInt64) {
        self.second = second
        let (year, month, day) = civilDate(daysSinceEpoch: second / 86_400)
        let rest = second % 86_400
        var buffer = TextBuffer(capacity: 64)
        buffer.append(decimal: year, digits: 4)
        buffer.append(UInt8(ascii: "-"))
        buffer.append(decimal: month, digits: 2)
        buffer.append(UInt8(ascii: "-"))
        buffer.append(decimal: day, digits: 2)
        buffer.append(UInt8(ascii: "T"))
        buffer.append(decimal: rest / 3600, digits: 2)
        buffer.append(UInt8(ascii: ":"))
        buffer.append(decimal: rest / 60 % 60, digits: 2)
        buffer.append(UInt8(ascii: ":"))
        buffer.append(decimal: rest % 60, digits: 2)
        buffer.append(UInt8(ascii: "."))
        for index in 0..<20 {
            text[index] = buffer.span[index]
        }
    }
}

/// The Gregorian date of a day. Eras of 400 years are counted from 0000-03-01, so that the leap day is a year's last.
package func civilDate(daysSinceEpoch: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
    let shifted = daysSinceEpoch + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
}
