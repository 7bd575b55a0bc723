package template

// allowed lists every function templates can call. Those that are not in ownFunctions are sprig v3's. Absent on purpose: what reads the
// environment or the network, makes keys, certificates, passwords or anything random, or encrypts.
var allowed = []string{
	"abbrev", "abbrevboth", "add", "add1", "adler32sum", "ago", "all", "and", "any", "append", "atoi",
	"b32dec", "b32enc", "b64dec", "b64enc", "base", "biggest",
	"camelcase", "cat", "ceil", "chunk", "clean", "coalesce", "compact", "concat", "contains",
	"date", "dateInZone", "dateModify", "date_in_zone", "date_modify", "deepCopy", "deepEqual", "default", "dict", "dig", "dir", "div",
	"duration", "durationRound",
	"empty", "eq", "ext",
	"fail", "first", "float64", "floor", "fromJson",
	"ge", "get", "gt",
	"has", "hasKey", "hasPrefix", "hasSuffix", "html", "htmlDate", "htmlDateInZone",
	"indent", "index", "initial", "initials", "int", "int64", "isAbs",
	"join", "js",
	"kebabcase", "keys", "kindIs", "kindOf",
	"last", "le", "len", "list", "lower", "lt",
	"max", "maxf", "merge", "mergeOverwrite", "min", "minf", "mod", "mul", "mustAppend", "mustChunk", "mustCompact", "mustDateModify",
	"mustDeepCopy", "mustFirst", "mustFromJson", "mustHas", "mustInitial", "mustLast", "mustMerge", "mustMergeOverwrite", "mustPrepend",
	"mustPush", "mustRegexFind", "mustRegexFindAll", "mustRegexMatch", "mustRegexReplaceAll", "mustRegexReplaceAllLiteral",
	"mustRegexSplit", "mustRest", "mustReverse", "mustSlice", "mustToDate", "mustToJson", "mustToPrettyJson", "mustToRawJson",
	"mustUniq", "mustWithout", "must_date_modify",
	"ne", "nindent", "nospace", "not", "now",
	"omit", "or",
	"pick", "pluck", "plural", "prepend", "print", "printf", "println", "push",
	"quote",
	"regexFind", "regexFindAll", "regexMatch", "regexQuoteMeta", "regexReplaceAll", "regexReplaceAllLiteral", "regexSplit", "repeat",
	"replace", "rest", "reverse", "round",
	"semver", "semverCompare", "seq", "set", "sha1sum", "sha256sum", "sha512sum", "slice", "snakecase", "sortAlpha", "split",
	"splitList", "splitn", "squote", "sub", "substr", "swapcase",
	"ternary", "title", "toDate", "toDecimal", "toJson", "toPrettyJson", "toRawJson", "toString", "toStrings", "trim", "trimAll",
	"trimPrefix", "trimSuffix", "trimall", "trunc", "tuple", "typeIs", "typeIsLike", "typeOf",
	"uniq", "unixEpoch", "unset", "until", "untilStep", "untitle", "upper", "urlJoin", "urlParse", "urlquery",
	"values",
	"without", "wrap", "wrapWith",
}

// mutating lists the functions that change a map they are given.
var mutating = []string{"merge", "mergeOverwrite", "mustMerge", "mustMergeOverwrite", "set", "unset"}

// printing lists the functions that write their arguments as text.
var printing = []string{
	"cat", "html", "join", "js", "print", "printf", "println", "quote", "sortAlpha", "squote", "toString", "toStrings", "urlquery",
}

// light lists the functions that neither read through their arguments nor make anything larger than a number.
var light = []string{
	"all", "any", "coalesce", "default", "dig", "empty", "eq", "first", "ge", "get", "gt", "hasKey", "kindIs", "kindOf", "last", "le", "len", "lt",
	"mustFirst", "mustLast", "ne", "not", "ternary", "typeIs", "typeIsLike", "typeOf",
}

// mustVariant names the variant of a function that returns an error where the plain one panics or hides it.
var mustVariant = map[string]string{
	"append": "mustAppend", "push": "mustPush", "prepend": "mustPrepend", "first": "mustFirst", "last": "mustLast",
	"rest": "mustRest", "initial": "mustInitial", "reverse": "mustReverse", "compact": "mustCompact", "has": "mustHas",
	"merge": "mustMerge", "mergeOverwrite": "mustMergeOverwrite", "deepCopy": "mustDeepCopy",
}

// ownFunctions are those that are bounded, deterministic or clearer in their errors than sprig's.
func ownFunctions() map[string]any {
	out := map[string]any{}
	for _, group := range []map[string]any{compareFunctions(), textFunctions(), jsonFunctions(), listFunctions(), dictFunctions(), timeFunctions(), regexFunctions()} {
		for name, f := range group {
			out[name] = f
		}
	}
	return out
}
