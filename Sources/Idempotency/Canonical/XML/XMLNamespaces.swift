/// Namespaces that have a meaning here, by their place in `XMLNamespaces.known`.
enum XMLNamespaceID {
    static let none = 0
    static let xml = 1
    static let schemaInstance = 2
    static let soap11 = 3
    static let soap12 = 4
    static let soapEncoding = 5
    static let addressing = 6
    static let addressing2004 = 7
    static let security = 8
    static let securityUtility = 9
}

/// The namespace declarations in scope, and a number for each namespace of the document.
struct XMLNamespaces: Sendable {
    static let security =
        "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
    static let securityUtility =
        "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"

    /// In the order of `XMLNamespaceID`.
    static let known: [String] = [
        "", "http://www.w3.org/XML/1998/namespace", "http://www.w3.org/2001/XMLSchema-instance",
        "http://schemas.xmlsoap.org/soap/envelope/", "http://www.w3.org/2003/05/soap-envelope",
        "http://schemas.xmlsoap.org/soap/encoding/", "http://www.w3.org/2005/08/addressing",
        "http://schemas.xmlsoap.org/ws/2004/08/addressing", security, securityUtility,
    ]
    private static let knownNames = known.map { Array($0.utf8) }
    private static let knownTable: [UInt16] = {
        var table = [UInt16](repeating: 0, count: tableSize)
        for number in knownNames.indices {
            let name = knownNames[number]
            table[place(of: name.span, in: table, names: knownNames)] = UInt16(number + 1)
        }
        return table
    }()
    /// More than half of it stays empty.
    private static let tableSize = 2 * XMLLimits.namespacesMax

    /// Where a name stands in a table, or is to be put.
    private static func place(of name: Span<UInt8>, in table: [UInt16], names: [[UInt8]]) -> Int {
        // Swift's hashing is seeded: names cannot be chosen so that they collide.
        var hasher = Hasher()
        unsafe name.withUnsafeBytes { buffer in
            // The hasher reads the buffer within the call.
            unsafe hasher.combine(bytes: buffer)
        }
        var place = Int(UInt(bitPattern: hasher.finalize()) % UInt(tableSize))
        while table[place] != 0, !name.equals(names[Int(table[place]) - 1]) { place = (place + 1) % tableSize }
        return place
    }

    private struct Declaration {
        var prefix: Range<Int>
        var namespace: Int
    }

    private var names = knownNames
    /// By hash: the number of a name and one more, or 0.
    private var table = knownTable
    private var declarations: [Declaration] = []
    private var prefixes: [UInt8] = []

    mutating func reset() {
        if names.count > Self.known.count {
            names = Self.knownNames
            table = Self.knownTable
        }
        declarations.removeAll(keepingCapacity: true)
        prefixes.removeAll(keepingCapacity: true)
    }

    var count: Int { names.count }
    var depth: Int { declarations.count }

    /// The name of a namespace.
    func name(_ namespace: Int) -> [UInt8] { names[namespace] }

    /// Adds a declaration; false if there are too many.
    mutating func declare(prefix: Span<UInt8>, name: Span<UInt8>) -> Bool {
        let namespace: Int
        if let last = declarations.last, name.equals(names[last.namespace]) {
            namespace = last.namespace
        } else {
            let place = Self.place(of: name, in: table, names: names)
            if table[place] != 0 {
                namespace = Int(table[place]) - 1
            } else {
                guard names.count < XMLLimits.namespacesMax else { return false }
                namespace = names.count
                names.append(Array(name))
                table[place] = UInt16(names.count)
            }
        }
        guard declarations.count < XMLLimits.declarationsMax else { return false }
        let start = prefixes.count
        prefixes.append(prefix)
        declarations.append(Declaration(prefix: start..<prefixes.count, namespace: namespace))
        return true
    }

    /// Takes back all declarations but the first ones.
    mutating func drop(to depth: Int) {
        guard depth < declarations.count else { return }
        prefixes.removeLast(prefixes.count - declarations[depth].prefix.lowerBound)
        declarations.removeLast(declarations.count - depth)
    }

    /// The namespace that a prefix is bound to; an empty prefix asks for the default namespace. Nil if it is not
    /// declared.
    func lookUp(_ prefix: Span<UInt8>) -> Int? {
        var index = declarations.count
        while index > 0 {
            index -= 1
            if prefix.equals(prefixes.span.extracting(declarations[index].prefix)) {
                return declarations[index].namespace
            }
        }
        if prefix.count == 0 { return XMLNamespaceID.none }
        return prefix.equals("xml") ? XMLNamespaceID.xml : nil
    }

    /// Whether anything but the default namespace is declared.
    var hasPrefixes: Bool { !prefixes.isEmpty }
}
