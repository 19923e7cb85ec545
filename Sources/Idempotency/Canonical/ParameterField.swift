/// A field value with parameters: `multipart/form-data; boundary=x`, `form-data; name="a"; filename="b"`.
struct ParameterField: Sendable {
    struct Parameter: Sendable {
        var name: Range<Int>
        /// Without quotes. Escapes are left as they stand: parsers disagree on them.
        var value: Range<Int>
    }

    /// What stands before the first semicolon, without white space around it.
    private(set) var value = 0..<0
    private(set) var parameters: [Parameter] = []

    private static let parametersMax = 32

    /// Replaces the field by that of a value; false if it is malformed, or has a parameter twice.
    mutating func parse(_ octets: Span<UInt8>) -> Bool {
        parameters.removeAll(keepingCapacity: true)
        let end = octets.firstIndex(of: 0x3B, from: 0)
        value = octets.trimmed(0..<end)
        guard !value.isEmpty else { return false }
        for index in value where octets[index] <= 0x20 || octets[index] == 0x22 || octets[index] >= 0x7F {
            return false
        }
        var position = end
        while position < octets.count {
            position += 1
            guard let parameter = Self.parameter(octets, &position) else { return false }
            // `;;` and a semicolon at the end are written by some clients.
            if parameter.name.isEmpty { continue }
            guard parameters.count < Self.parametersMax, find(octets.extracting(parameter.name), in: octets) == nil
            else { return false }
            parameters.append(parameter)
        }
        return true
    }

    /// The value of a parameter. Names are not case-sensitive.
    func find(_ name: StaticString, in octets: Span<UInt8>) -> Range<Int>? {
        for index in parameters.indices where octets.extracting(parameters[index].name).equals(ignoringCase: name) {
            return parameters[index].value
        }
        return nil
    }

    private func find(_ name: Span<UInt8>, in octets: Span<UInt8>) -> Int? {
        for index in parameters.indices where octets.extracting(parameters[index].name).equals(lowercasing: name) {
            return index
        }
        return nil
    }

    /// Appends the parameters in the order of their names: count { size name size value }…
    func writeParameters(_ octets: Span<UInt8>, into output: inout [UInt8]) {
        var rest = parameters
        output.append(variable: rest.count)
        while !rest.isEmpty {
            var first = 0
            for index in rest.indices
            where octets.extracting(rest[index].name).precedes(lowercasing: octets.extracting(rest[first].name)) {
                first = index
            }
            let parameter = rest.remove(at: first)
            output.append(lowercasing: octets.extracting(parameter.name))
            output.append(variable: parameter.value.count)
            output.append(octets.extracting(parameter.value))
        }
    }

    /// Reads `name=value` behind a semicolon and stops at the next one; an empty name for nothing but white space.
    private static func parameter(_ octets: Span<UInt8>, _ position: inout Int) -> Parameter? {
        while position < octets.count, octets[position] == 0x20 || octets[position] == 0x09 { position += 1 }
        let start = position
        while position < octets.count, isNameOctet(octets[position]) { position += 1 }
        let name = start..<position
        if name.isEmpty, position == octets.count || octets[position] == 0x3B {
            return Parameter(name: name, value: name)
        }
        guard !name.isEmpty, position < octets.count, octets[position] == 0x3D else { return nil }
        position += 1
        guard position < octets.count, octets[position] == 0x22 else { return bare(octets, name, &position) }
        position += 1
        let valueStart = position
        while position < octets.count, octets[position] != 0x22 {
            position += octets[position] == 0x5C ? 2 : 1
        }
        guard position < octets.count else { return nil }
        let value = valueStart..<position
        position += 1
        while position < octets.count, octets[position] == 0x20 || octets[position] == 0x09 { position += 1 }
        guard position == octets.count || octets[position] == 0x3B else { return nil }
        return Parameter(name: name, value: value)
    }

    private static func bare(_ octets: Span<UInt8>, _ name: Range<Int>, _ position: inout Int) -> Parameter? {
        let start = position
        position = octets.firstIndex(of: 0x3B, from: position)
        let value = octets.trimmed(start..<position)
        guard !value.isEmpty else { return nil }
        for index in value where octets[index] == 0x22 || octets[index] == 0x5C { return nil }
        return Parameter(name: name, value: value)
    }

    private static func isNameOctet(_ octet: UInt8) -> Bool {
        switch octet {
        case 0x22, 0x3B, 0x3D, 0x5C: false
        default: octet > 0x20 && octet < 0x7F
        }
    }
}
