from study.data.dataset import load_dataset
from study.reports.network_table import network_table


def test_layers_are_those_of_the_network_on_the_data(few_digits):
    table, note = network_table("cnn", few_digits)
    cells = {name: rest for name, *rest in table.cells()}
    assert cells["conv_1"] == ["Conv2D", "28×28×32", "320"] and cells["logits"][1:] == ["10", "1,290"]
    assert note.endswith("of them trained") and note.startswith(f"{421_642:,} parameters")
    table, _ = network_table("mlp", load_dataset("iris"))
    assert [row[0] for row in table.cells()][:2] == ["scaled_features", "flatten"]
