/// Dates as HTTP fields carry them: IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
package enum HTTPDate {
    /// Octets of a date.
    package static let count = 29

    /// Seconds since the UNIX epoch, 0 for what was before it; nil for anything that is not exactly such a date.
    package static func seconds(_ text: Span<UInt8>) -> UInt64? {
        guard text.count == count else { return nil }
        for (index, octet) in [(3, 0x2C), (4, 0x20), (7, 0x20), (11, 0x20), (16, 0x20), (19, 0x3A), (22, 0x3A)] {
            guard Int(text[index]) == octet else { return nil }
        }
        guard text.extracting(25..<29).equals(" GMT"), let month = index(of: text.extracting(8..<11), in: months),
            let day = number(text, 5..<7), let year = number(text, 12..<16),
            let hour = number(text, 17..<19), let minute = number(text, 20..<22), let second = number(text, 23..<25),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        guard day >= 1, day <= daysInMonth(month, year) else { return nil }
        let days = daysSinceEpoch(year: year, month: month, day: day)
        guard weekday(of: days) == index(of: text.extracting(0..<3), in: weekdays) else { return nil }
        guard days >= 0 else { return 0 }
        return UInt64(days) * 86_400 + UInt64(hour * 3600 + minute * 60 + second)
    }

    /// Appends the date of this second; the year 9999 at most.
    package static func append(seconds: UInt64, to output: inout [UInt8]) {
        let seconds = min(seconds, 253_402_300_799)
        let days = Int(seconds / 86_400)
        let rest = Int(seconds % 86_400)
        let (year, month, day) = date(daysSinceEpoch: days)
        append(weekdays, at: weekday(of: days), to: &output)
        output += [0x2C, 0x20]
        append(day, digits: 2, to: &output)
        output.append(0x20)
        append(months, at: month, to: &output)
        output.append(0x20)
        append(year, digits: 4, to: &output)
        output.append(0x20)
        append(rest / 3600, digits: 2, to: &output)
        output.append(0x3A)
        append(rest / 60 % 60, digits: 2, to: &output)
        output.append(0x3A)
        append(rest % 60, digits: 2, to: &output)
        output += [0x20, 0x47, 0x4D, 0x54]
    }

    // MARK: The calendar

    private static let weekdays: [UInt8] = Array("SunMonTueWedThuFriSat".utf8)
    private static let months: [UInt8] = Array("JanFebMarAprMayJunJulAugSepOctNovDec".utf8)

    /// 0 = Sunday.
    private static func weekday(of days: Int) -> Int {
        // 1 January 1970 was a Thursday.
        let day = (days + 4) % 7
        return day < 0 ? day + 7 : day
    }

    /// 0 = January.
    private static func daysInMonth(_ month: Int, _ year: Int) -> Int {
        switch month {
        case 3, 5, 8, 10: 30
        case 1: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        default: 31
        }
    }

    /// By a year that begins in March, so that the leap day is its last.
    private static func daysSinceEpoch(year: Int, month: Int, day: Int) -> Int {
        let shifted = month >= 2 ? year : year - 1
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * ((month + 10) % 12) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    private static func date(daysSinceEpoch days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = (marchMonth + 2) % 12
        return (yearOfEra + era * 400 + (month < 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }

    // MARK: Text

    private static func index(of name: Span<UInt8>, in names: [UInt8]) -> Int? {
        for index in 0..<names.count / 3 where name.equals(names.span.extracting(index * 3..<index * 3 + 3)) {
            return index
        }
        return nil
    }

    private static func number(_ text: Span<UInt8>, _ range: Range<Int>) -> Int? { text.decimal(in: range) }

    private static func append(_ names: [UInt8], at index: Int, to output: inout [UInt8]) {
        output.append(names, index * 3..<index * 3 + 3)
    }

    private static func append(_ number: Int, digits: Int, to output: inout [UInt8]) {
        var divisor = digits == 4 ? 1000 : 10
        while divisor > 0 {
            output.append(0x30 + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }
}
