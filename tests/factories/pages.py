"""HTML pages as the tests read them."""

from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """What a page holds; it is balanced, or reading it fails."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data):
        if not {"svg", "style", "title"} & set(self.open) and data.strip():
            self.text.append((self.open[-1], " ".join(data.split())))

    def said(self, *tags: str) -> list[str]:
        """The texts in these elements, in their order."""
        return [text for tag, text in self.text if tag in tags]

    def values(self, name: str) -> list[str]:
        """The values of an attribute, in their order."""
        return [value for _, attribute, value in self.attributes if attribute == name]
