/// A decimal number as JSON writes it, normalised: value = 0.d₁d₂…dₖ × 10^point, without zeros at either end of the
/// digits.
struct JSONNumber: Equatable {
    /// d₁…dₖ as an integer; 0 for zero.
    private(set) var significand: UInt64 = 0
    /// k: 0 for zero. Above `digitsMax` the significand is not complete.
    private(set) var digits = 0
    private(set) var point = 0
    private(set) var isNegative = false

    /// No IEEE 754 double needs more to be told from all others.
    static let digitsMax = 17
    /// Digits that every double keeps (DBL_DIG): two different decimals of so many digits are two different doubles.
    private static let digitsSafe = 15
    /// Points of decimals that are all within the range of normal doubles, 2.3e−308 to 1.7e308.
    private static let pointsSafe = -306...308
    private static let exponentMax = 1_000_000

    /// Reads a number at `position` (RFC 8259 §6) and moves behind it.
    init(_ input: Span<UInt8>, at position: inout Int) throws(JSONError) {
        if position < input.count, input[position] == 0x2D {
            isNegative = true
            position += 1
        }
        var zeros = 0
        let integerStart = position
        while let digit = Self.digit(input, position) {
            if digits > 0 || digit > 0 { point += 1 }
            take(digit, zeros: &zeros)
            position += 1
        }
        guard position > integerStart, position == integerStart + 1 || input[integerStart] != 0x30 else {
            throw .syntax
        }
        if position < input.count, input[position] == 0x2E {
            position += 1
            let fractionStart = position
            while let digit = Self.digit(input, position) {
                if digits == 0, digit == 0 { point -= 1 }
                take(digit, zeros: &zeros)
                position += 1
            }
            guard position > fractionStart else { throw .syntax }
        }
        if position < input.count, input[position] | 0x20 == 0x65 {
            point += try Self.exponent(input, at: &position)
        }
        if digits == 0 {
            point = 0
            // RFC 8785 §3.2.2.3, ECMAScript: −0 is written 0.
            isNegative = false
        }
    }

    /// Whether the number is what the shortest text of its double says, so that writing it loses nothing and no two
    /// different numbers are written alike. 9007199254740993 is not: its double is …992.
    var isExact: Bool {
        if digits <= Self.digitsSafe, Self.pointsSafe.contains(point) { return true }
        guard digits <= Self.digitsMax else { return false }
        guard let double, double.isFinite else { return false }
        var shortest = double.description
        return shortest.withUTF8 { buffer in
            // The span is read within the call.
            let octets = unsafe Span(_unsafeElements: buffer)
            var position = 0
            guard let number = try? JSONNumber(octets, at: &position), position == octets.count else { return false }
            return number == self
        }
    }

    /// The nearest double. Precondition: not more digits than `digitsMax`.
    private var double: Double? {
        // One number in a document may be one of very many: a short text costs no allocation.
        var text = String(significand)
        text.append("e")
        text.append(String(point - digits))
        guard let magnitude = Double(text) else { return nil }
        return isNegative ? -magnitude : magnitude
    }

    /// Appends the number as ECMAScript writes it (ECMA-262 §6.1.6.1.20). Precondition: not more digits than
    /// `digitsMax`.
    func write(to output: inout [UInt8]) {
        precondition(digits <= Self.digitsMax, "a number of \(digits) digits is never exact")
        guard digits > 0 else { return output.append(0x30) }
        if isNegative { output.append(0x2D) }
        switch point {
        case digits...21 where digits <= 21:
            writeDigits(0..<digits, to: &output)
            for _ in digits..<point { output.append(0x30) }
        case 1...21:
            writeDigits(0..<point, to: &output)
            output.append(0x2E)
            writeDigits(point..<digits, to: &output)
        case -5...0:
            output.append(0x30)
            output.append(0x2E)
            for _ in point..<0 { output.append(0x30) }
            writeDigits(0..<digits, to: &output)
        default:
            writeDigits(0..<1, to: &output)
            if digits > 1 {
                output.append(0x2E)
                writeDigits(1..<digits, to: &output)
            }
            output.append(0x65)
            output.append(point > 0 ? 0x2B : 0x2D)
            output.append(contentsOf: String((point - 1).magnitude).utf8)
        }
    }

    /// Zeros wait until a digit follows them: those at the end never count.
    private mutating func take(_ digit: UInt8, zeros: inout Int) {
        if digit == 0 {
            if digits > 0 { zeros += 1 }
            return
        }
        digits += zeros + 1
        if digits <= Self.digitsMax {
            for _ in 0...zeros { significand *= 10 }
            significand += UInt64(digit)
        }
        zeros = 0
    }

    private func writeDigits(_ range: Range<Int>, to output: inout [UInt8]) {
        for index in range {
            output.append(0x30 + UInt8(significand / Self.powers[digits - 1 - index] % 10))
        }
    }

    private static let powers: [UInt64] = (0..<digitsMax).map { exponent in
        (0..<exponent).reduce(UInt64(1)) { power, _ in power * 10 }
    }

    @inline(__always)
    private static func digit(_ input: Span<UInt8>, _ position: Int) -> UInt8? {
        guard position < input.count else { return nil }
        let digit = input[position] &- 0x30
        return digit < 10 ? digit : nil
    }

    /// The exponent part, saturated far outside the range of doubles.
    private static func exponent(_ input: Span<UInt8>, at position: inout Int) throws(JSONError) -> Int {
        position += 1
        var isNegative = false
        if position < input.count, input[position] == 0x2B || input[position] == 0x2D {
            isNegative = input[position] == 0x2D
            position += 1
        }
        let start = position
        var exponent = 0
        while let digit = Self.digit(input, position) {
            exponent = min(exponent * 10 + Int(digit), exponentMax)
            position += 1
        }
        guard position > start else { throw .syntax }
        return isNegative ? -exponent : exponent
    }
}
