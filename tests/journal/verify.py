# Verifies the checks of a journal: python3 verify.py journal.jsonl (pip install blake3)
import sys, blake3

check, unchecked = None, b""
for number, line in enumerate(open(sys.argv[1], "rb"), 1):
    body, mark, found, end = line[:-45], line[-45:-35], line[-35:-3], line[-3:]
    if mark == b',"check":"' and end == b'"}\n':
        before = check or blake3.blake3(unchecked).hexdigest()[:32].encode()
        check = blake3.blake3(before + body).hexdigest()[:32].encode()
        assert found == check, f"line {number} is damaged"
    else:
        assert check is None, f"line {number} has no check"
        unchecked += line
