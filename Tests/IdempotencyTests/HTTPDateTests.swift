import Testing

@testable import Idempotency

@Suite struct HTTPDateTests {
    private func seconds(_ text: String) -> UInt64? { HTTPDate.seconds(Array(text.utf8).span) }

    private func text(_ seconds: UInt64) -> String {
        var octets: [UInt8] = []
        HTTPDate.append(seconds: seconds, to: &octets)
        return String(decoding: octets, as: UTF8.self)
    }

    @Test(
        arguments: [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799), ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
            ("Sun, 28 Feb 2100 12:00:00 GMT", 4_107_499_200), ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799), ("Tue, 24 Nov 2026 13:00:00 GMT", 1_795_525_200),
        ] as [(String, UInt64)])
    func examples(date: String, number: UInt64) {
        #expect(seconds(date) == number)
        #expect(text(number) == date)
    }

    @Test func roundTrip() {
        var generator = SeededGenerator(seed: 1)
        for day in 0..<60_000 {
            let number = UInt64(day) * 86_400 + UInt64.random(in: 0..<86_400, using: &generator)
            #expect(seconds(text(number)) == number)
        }
        for _ in 0..<20_000 {
            let number = UInt64.random(in: 0...253_402_300_799, using: &generator)
            #expect(seconds(text(number)) == number)
        }
        #expect(text(.max) == "Fri, 31 Dec 9999 23:59:59 GMT")
    }

    @Test func whatIsNoSuchDate() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT"
        for count in 0..<29 { #expect(seconds(String(date.prefix(count))) == nil) }
        for other in [
            date + " ", " " + date, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT ", "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 24:49:37 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov 1994 -8:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Thu, 31 Nov 1994 08:49:37 GMT",
            "Tue, 29 Feb 1994 08:49:37 GMT", "Thu, 29 Feb 1900 08:49:37 GMT", "Sun, 06 Nov 1994T08:49:37 GMT", "",
        ] {
            #expect(seconds(other) == nil, "\(other)")
        }
        // Before the epoch is long ago; the leap second is the one after.
        #expect(seconds("Mon, 01 Jan 0001 00:00:00 GMT") == 0)
        #expect(seconds("Sat, 31 Dec 2016 23:59:60 GMT") == 1_483_228_800)
    }
}
