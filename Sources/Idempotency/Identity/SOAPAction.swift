/// What a SOAP request asks for beside its envelope: the field SOAPAction of SOAP 1.1 and the parameter `action` of
/// SOAP 1.2's Content-Type. Quoted and bare are the same; empty and missing are not.
struct SOAPAction: Sendable {
    private let actionSlot: Int
    private let contentTypeSlot: Int

    init(wanted: inout WantedFields) throws(PolicyError) {
        actionSlot = try wanted.slot(of: "soapaction")
        contentTypeSlot = try wanted.slot(of: "content-type")
    }

    func absorb(octets: Span<UInt8>, gathered: borrowing GatheredFields, into hash: inout SHA256) {
        hash.update(integer: UInt32(gathered.count(of: actionSlot)))
        var position = 0
        while let line = gathered.next(of: actionSlot, from: position) {
            var value = line.value
            if value.count >= 2, octets[value.lowerBound] == 0x22, octets[value.upperBound - 1] == 0x22 {
                value = (value.lowerBound + 1)..<(value.upperBound - 1)
            }
            hash.update(prefixed: octets.extracting(value))
            position = line.next
        }
        position = 0
        while let line = gathered.next(of: contentTypeSlot, from: position) {
            let value = octets.extracting(line.value)
            var parameters = ParameterField()
            if parameters.parse(value), let action = parameters.find("action", in: value) {
                hash.update(1)
                hash.update(prefixed: value.extracting(action))
            }
            position = line.next
        }
        hash.update(0)
    }
}
