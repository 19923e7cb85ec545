/// Writes the Prometheus text exposition format 0.0.4.
struct Exposition: ~Copyable {
    private let names: ConfiguredNames
    private let literals: [String]
    private var text = TextBuffer(capacity: 64 << 10)

    init(names: ConfiguredNames, literals: [String]) {
        self.names = names
        self.literals = literals
    }

    var octets: [UInt8] { text.octets }

    /// - Parameter series: in the order of their packed keys.
    mutating func write(_ series: [(key: UInt64, values: [UInt64])], _ samples: MetricSamples) {
        var next = 0
        for family in MetricFamily.allCases {
            let start = next
            while next < series.count, series[next].key >> 56 == UInt64(family.rawValue) {
                next += 1
            }
            write(family, series[start..<next], samples.byFamily[Int(family.rawValue)])
        }
    }

    private mutating func write(
        _ family: MetricFamily, _ series: ArraySlice<(key: UInt64, values: [UInt64])>, _ samples: [MetricSamples.Sample]
    ) {
        let declaration = MetricFamilies.declaration(of: family)
        // A metric without labels is there from the start, at 0.
        let isImplied = series.isEmpty && samples.isEmpty && declaration.labels.isEmpty && declaration.source == .shards
        guard isImplied || !series.isEmpty || !samples.isEmpty else { return }
        writeHead(declaration)
        if isImplied {
            write(declaration, UInt64(family.rawValue) << 56, .init(repeating: 0, count: declaration.bounds.count + 2))
        }
        for (key, values) in series {
            write(declaration, key, values)
        }
        for sample in samples {
            text.append(declaration.name)
            write(zip(declaration.labels, sample.labels).map { ($0.name.description, $1) })
            text.append(UInt8(ascii: " "))
            write(number: sample.value)
            text.append(UInt8(ascii: "\n"))
        }
    }

    private mutating func writeHead(_ declaration: MetricDeclaration) {
        text.append("# HELP ")
        text.append(declaration.name)
        text.append(UInt8(ascii: " "))
        write(escaped: declaration.help.description, quotes: false)
        text.append("\n# TYPE ")
        text.append(declaration.name)
        switch declaration.kind {
        case .counter: text.append(" counter\n")
        case .gauge: text.append(" gauge\n")
        case .histogram: text.append(" histogram\n")
        }
    }

    private mutating func write(_ declaration: MetricDeclaration, _ key: UInt64, _ values: [UInt64]) {
        var labels: [(String, String)] = []
        for (index, label) in declaration.labels.enumerated() {
            let value = Int(truncatingIfNeeded: key >> (42 - 14 * UInt64(index))) & Int(MetricLabel.limit)
            labels.append((label.name.description, labelText(label, value)))
        }
        switch declaration.kind {
        case .counter:
            text.append(declaration.name)
            write(labels)
            text.append(UInt8(ascii: " "))
            text.append(decimal: values[0])
            text.append(UInt8(ascii: "\n"))
        case .gauge:
            text.append(declaration.name)
            write(labels)
            text.append(UInt8(ascii: " "))
            text.append(decimal: Int64(bitPattern: values[0]))
            text.append(UInt8(ascii: "\n"))
        case .histogram(let buckets): writeHistogram(declaration, buckets, labels, values)
        }
    }

    private mutating func writeHistogram(
        _ declaration: MetricDeclaration, _ buckets: MetricDeclaration.Buckets, _ labels: [(String, String)],
        _ values: [UInt64]
    ) {
        let scale: Double
        if case .seconds = buckets { scale = 1e9 } else { scale = 1 }
        let bounds = declaration.bounds
        // The count is the sum of the buckets, so that what is published agrees with itself while the writers go on.
        var count: UInt64 = 0
        for index in 0...bounds.count {
            count &+= values[index]
            text.append(declaration.name)
            text.append("_bucket")
            write(labels + [("le", index < bounds.count ? numberText(Double(bounds[index]) / scale) : "+Inf")])
            text.append(UInt8(ascii: " "))
            text.append(decimal: count)
            text.append(UInt8(ascii: "\n"))
        }
        text.append(declaration.name)
        text.append("_sum")
        write(labels)
        text.append(UInt8(ascii: " "))
        write(number: Double(values[bounds.count + 1]) / scale)
        text.append(UInt8(ascii: "\n"))
        text.append(declaration.name)
        text.append("_count")
        write(labels)
        text.append(UInt8(ascii: " "))
        text.append(decimal: count)
        text.append(UInt8(ascii: "\n"))
    }

    private mutating func write(_ labels: [(String, String)]) {
        guard !labels.isEmpty else { return }
        var separator = UInt8(ascii: "{")
        for (name, value) in labels {
            text.append(separator)
            text.append(text: name)
            text.append("=\"")
            write(escaped: value, quotes: true)
            text.append(UInt8(ascii: "\""))
            separator = UInt8(ascii: ",")
        }
        text.append(UInt8(ascii: "}"))
    }

    /// Backslash and line feed are escaped, in a label's value quotes too.
    private mutating func write(escaped value: String, quotes: Bool) {
        for octet in value.utf8 {
            switch octet {
            case UInt8(ascii: "\\"): text.append("\\\\")
            case UInt8(ascii: "\n"): text.append("\\n")
            case UInt8(ascii: "\"") where quotes: text.append("\\\"")
            default: text.append(octet)
            }
        }
    }

    private mutating func write(number: Double) {
        text.append(text: numberText(number))
    }

    private func labelText(_ label: MetricDeclaration.Label, _ value: Int) -> String {
        switch label {
        case .listener: name(names.listeners, value)
        case .route: name(names.routes, value)
        case .upstream: name(names.upstreams, value)
        case .method: MethodLabel(rawValue: UInt8(truncatingIfNeeded: value))?.text.description ?? ""
        case .code: String(value)
        case .outcome: IdempotencyOutcome(rawValue: UInt8(truncatingIfNeeded: value))?.text.description ?? ""
        case .literal: name(literals, value)
        case .free: ""
        }
    }

    private func name(_ names: [String], _ index: Int) -> String {
        index < names.count ? names[index] : ""
    }
}

private func numberText(_ number: Double) -> String {
    if number.isNaN { return "NaN" }
    if number.isInfinite { return number < 0 ? "-Inf" : "+Inf" }
    // Beyond 2^53 a Double has gaps between integers, and its shortest form is the honest one.
    if number == number.rounded(), number.magnitude < 9_007_199_254_740_992 {
        return String(Int64(number))
    }
    return number.description
}
