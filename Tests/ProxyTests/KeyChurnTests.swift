import Testing

@testable import Proxy

@Suite struct KeyChurnTests {
    @Test func anEqualRequestUnderAnotherKeyWithinASecond() {
        let table = KeyChurn()
        func note(_ similarity: UInt64, _ key: UInt64, _ time: UInt64) -> KeyChurn.Finding {
            table.note(similarity: similarity, key: key << 32 | 5, milliseconds: time)
        }
        #expect(note(1, 1, 5000) == .new)
        #expect(note(1, 1, 5001) == .new)
        #expect(note(1, 2, 6001) == .churn)
        #expect(note(1, 3, 7002) == .new)
        // Another one on the same place, which lets nobody be accused.
        #expect(note(2, 4, 7003) == .displaced)
        #expect(note(1, 5, 7004) == .displaced)
        #expect(note(2, 6, 9000) == .new)
        // Another place.
        #expect(note(1 << 20, 7, 9001) == .new)
        #expect(note(2, 6, 9001) == .new)
        #expect(note(2, 8, 9001) == .churn)
    }

    /// 32 bits of milliseconds end after 49 days.
    @Test func theClockWrapsAround() {
        let table = KeyChurn()
        #expect(table.note(similarity: 1, key: 1 << 32, milliseconds: (1 << 32) - 100) == .new)
        #expect(table.note(similarity: 1, key: 2 << 32, milliseconds: (1 << 32) + 200) == .churn)
    }

    @Test func manyRequestsDisplaceEachOther() {
        let table = KeyChurn()
        var displaced = 0
        let count = KeyChurn.placesMax * 4
        for number in 0..<UInt64(count) {
            let finding = table.note(similarity: number &* 0x9E37_79B9_7F4A_7C15, key: number << 32, milliseconds: 1)
            #expect(finding != .churn)
            if finding == .displaced { displaced += 1 }
        }
        #expect(displaced >= count - KeyChurn.placesMax)
    }
}
