/// Reading and writing of JSON strings (RFC 8259 §7; written as RFC 8785 §3.2.2.2 says).
enum JSONString {
    enum Target {
        /// The string's content.
        case decoded
        /// The content with RFC 8785's escapes, without the quotes.
        case escaped
    }

    /// Reads the string whose opening quote is before `position`, appends it, and moves behind its closing quote.
    static func read(
        _ input: Span<UInt8>, at position: inout Int, as target: Target, to output: inout [UInt8]
    ) throws(JSONError) {
        var runStart = position
        while position < input.count {
            let octet = input[position]
            switch octet {
            case 0x22:
                output.append(input.extracting(runStart..<position))
                position += 1
                return
            case 0x5C:
                output.append(input.extracting(runStart..<position))
                let scalar = try escapedScalar(input, at: &position)
                write(scalar, as: target, to: &output)
                runStart = position
            case 0x20..<0x80:
                position += 1
            case 0x80...:
                position += try scalarSize(input, position)
            default:
                throw .syntax
            }
        }
        throw .syntax
    }

    /// Appends content with RFC 8785's escapes. Precondition: valid UTF-8.
    static func escape(_ content: [UInt8], _ range: Range<Int>, to output: inout [UInt8]) {
        var runStart = range.lowerBound
        for index in range {
            let octet = content[index]
            guard octet < 0x20 || octet == 0x22 || octet == 0x5C else { continue }
            output.append(content, runStart..<index)
            write(UInt32(octet), as: .escaped, to: &output)
            runStart = index + 1
        }
        output.append(content, runStart..<range.upperBound)
    }

    /// Reads from the backslash at `position`.
    private static func escapedScalar(_ input: Span<UInt8>, at position: inout Int) throws(JSONError) -> UInt32 {
        guard position + 1 < input.count else { throw .syntax }
        let octet = input[position + 1]
        position += 2
        switch octet {
        case 0x22, 0x5C, 0x2F: return UInt32(octet)
        case 0x62: return 0x08
        case 0x66: return 0x0C
        case 0x6E: return 0x0A
        case 0x72: return 0x0D
        case 0x74: return 0x09
        case 0x75: break
        default: throw .syntax
        }
        let unit = try codeUnit(input, at: &position)
        switch unit {
        case 0xD800..<0xDC00:
            guard position + 1 < input.count, input[position] == 0x5C, input[position + 1] == 0x75 else {
                throw .loneSurrogate
            }
            position += 2
            let low = try codeUnit(input, at: &position)
            guard (0xDC00..<0xE000).contains(low) else { throw .loneSurrogate }
            return 0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00)
        case 0xDC00..<0xE000:
            throw .loneSurrogate
        default:
            return unit
        }
    }

    private static func codeUnit(_ input: Span<UInt8>, at position: inout Int) throws(JSONError) -> UInt32 {
        guard position + 4 <= input.count else { throw .syntax }
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = hexadecimalValue(input[position]) else { throw .syntax }
            unit = unit << 4 | UInt32(digit)
            position += 1
        }
        return unit
    }

    private static func write(_ scalar: UInt32, as target: Target, to output: inout [UInt8]) {
        if case .escaped = target, scalar < 0x20 || scalar == 0x22 || scalar == 0x5C {
            output.append(0x5C)
            switch scalar {
            case 0x08: output.append(0x62)
            case 0x09: output.append(0x74)
            case 0x0A: output.append(0x6E)
            case 0x0C: output.append(0x66)
            case 0x0D: output.append(0x72)
            case 0x22, 0x5C: output.append(UInt8(scalar))
            default:
                output.append(contentsOf: [0x75, 0x30, 0x30, 0x30 + UInt8(scalar >> 4)])
                let low = UInt8(scalar & 0xF)
                output.append(low < 10 ? 0x30 + low : 0x57 + low)
            }
            return
        }
        switch scalar {
        case ..<0x80:
            output.append(UInt8(scalar))
        case ..<0x800:
            output.append(UInt8(0xC0 | scalar >> 6))
            output.append(UInt8(0x80 | scalar & 0x3F))
        case ..<0x10000:
            output.append(UInt8(0xE0 | scalar >> 12))
            output.append(UInt8(0x80 | scalar >> 6 & 0x3F))
            output.append(UInt8(0x80 | scalar & 0x3F))
        default:
            output.append(UInt8(0xF0 | scalar >> 18 & 0x07))
            output.append(UInt8(0x80 | scalar >> 12 & 0x3F))
            output.append(UInt8(0x80 | scalar >> 6 & 0x3F))
            output.append(UInt8(0x80 | scalar & 0x3F))
        }
    }

    /// The octets of the UTF-8 sequence at `position`, whose first octet is not ASCII (RFC 3629 §4: no overlong form,
    /// no surrogate, nothing above U+10FFFF).
    private static func scalarSize(_ input: Span<UInt8>, _ position: Int) throws(JSONError) -> Int {
        let size: Int
        var second: ClosedRange<UInt8> = 0x80...0xBF
        switch input[position] {
        case 0xC2...0xDF: size = 2
        case 0xE0: (size, second) = (3, 0xA0...0xBF)
        case 0xED: (size, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: size = 3
        case 0xF0: (size, second) = (4, 0x90...0xBF)
        case 0xF4: (size, second) = (4, 0x80...0x8F)
        case 0xF1...0xF3: size = 4
        default: throw .invalidUTF8
        }
        guard position + size <= input.count, second.contains(input[position + 1]) else { throw .invalidUTF8 }
        for offset in 2..<max(size, 2) where input[position + offset] & 0xC0 != 0x80 { throw .invalidUTF8 }
        return size
    }
}
