/// Why a policy cannot be followed: found when a route's identifier is built, so that `check` can say it.
package enum PolicyError: Error, Equatable, CustomStringConvertible {
    /// Not an RFC 6901 pointer: not empty and not starting with `/`, or a `~` that is not followed by 0 or 1.
    case invalidPointer(String)
    /// A pointer to a token must name one value.
    case wildcardInKeyPointer(String)
    /// A field, parameter or cookie without a name.
    case emptyName
    /// The selector does not fit the body's form: JSON pointers need `body json`, form fields `body form`, XPaths
    /// `body xml` or `body soap`, parts `body multipart`.
    case selectorDoesNotFitBody(String)
    /// More than `JSONSelection.pointersMax` JSON pointers.
    case tooManyPointers
    /// A pointer of more than `JSONCanonicaliser.depthMax` segments matches nothing.
    case pointerTooDeep(String)

    /// Not an XPath 1.0 expression that can be used here, and why.
    case invalidXPath(String, String)
    /// Not `prefix=name`.
    case invalidNamespace(String)
    /// More than `XMLLimits.pathsMax` XPaths in one list.
    case tooManyXPaths

    package var description: String {
        switch self {
        case .invalidPointer(let text): "'\(text)' is not a JSON pointer (RFC 6901)"
        case .wildcardInKeyPointer(let text): "'\(text)' can match several values; a key pointer names one"
        case .emptyName: "a name is empty"
        case .selectorDoesNotFitBody(let text): "'\(text)' does not fit the body's form"
        case .tooManyPointers: "more than \(JSONSelection.pointersMax) JSON pointers"
        case .invalidXPath(let text, let reason): "'\(text)' cannot be used: \(reason)"
        case .invalidNamespace(let text): "'\(text)' is not a prefix and a namespace, as in 'o=urn:orders'"
        case .tooManyXPaths: "more than \(XMLLimits.pathsMax) XPaths"
        case .pointerTooDeep(let text): "'\(text)' has more than \(JSONCanonicaliser.depthMax) segments"
        }
    }
}
