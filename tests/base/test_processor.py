"""The processor, as Linux describes it on two architectures, and where nothing is known."""

import platform

from study.base.processor import described, processor

X86 = """
processor\t: 0
model name\t: AMD EPYC 9R14
flags\t\t: fpu vme sse sse2 ssse3 smep avx avx2 fma f16c avx512f
processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd evtstrm aes fphp asimdhp sve bf16\n"


def test_first_processor_counts_and_only_features_that_calculate():
    assert described(X86) == ("AMD EPYC 9R14", "avx avx2 avx512f f16c fma sse sse2 ssse3")


def test_a_processor_without_a_name_has_its_features():
    model, features = described(ARM)
    assert features == "asimd asimdhp bf16 fp fphp sve" and model == (platform.processor() or platform.machine())


def test_where_nothing_is_known_it_is_the_architecture():
    assert described("")[1] == platform.machine()
    assert all(processor())
