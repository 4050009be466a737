"""Training rows that are near to a reported row of the same benchmark, and so in no pool.

Near is a row that shares 60 % of its word pairs with a reported one (Jaccard; the order
of options and pairs that are common in the benchmark do not count): the same question
asked again, also in another subject or configuration, or another question about the
same passage. Kept as data, because whether a row is trained on must not depend on which
other rows are available, and because looking for them takes seconds. The tests look again.

Code rows are near if either what is to be done or the reference solution is; MBPP's were
compared with the test rows of MBPP and of HumanEval, which is trained on them.

MMLU rows are named by the last twelve digits of the hash of question and options, BBH
rows by those of the input, ARC and MBPP rows by their ids. BBH tables that a program made of a few
words are exempt: their rows all share their words and differ in the question.
"""

from __future__ import annotations

NEAR_DUPLICATES = {
    "mmlu": frozenset(
        """
    001da3a10d1f 00a7c343d4d4 08e62e7ba1a0 0a4fd935727d 0e86743bd598 12b5b0e42da6 171681f6509c
    190144093819 1d12960521c6 26487047a0bd 2814ff9adb3c 2c237c0baf96 2e0168522966 33711e78cfb1
    351975607c38 35eda2d03165 35f5600a9f6e 38df4dc38ab9 3bf41d2779e0 3fb690a58bb7 4329b71d3783
    43adb21e6156 43fc13262c8d 4ce786a2d72b 4df556cf98e1 4e663b13214d 4ff694e11eb1 5275d2371b3e
    5412f35ecca6 55b8d31eab25 574b45dce1bd 5a84beb46877 5ba28c11f6e8 5cdfc55f7b90 5db81d42d2a3
    6111b465d0d2 62312a0c9353 6348af009117 66fcbe1b0811 6e1a96a19a96 733435d0e2b2 73dc7ca728ed
    755aeaa36148 768d1ebbe334 7a2b1e8b9efc 7d1c090d165b 7f48b90a07bd 80480c03e413 82c2c4b88d97
    832fc8d3b701 8381493bd615 85094c3ad9a0 8617f557f52e 8c7c373d7a63 8e39d73024fe 911d744f9758
    9587670760b0 9588178b2a15 971e6780f55a 97752de851aa 99224d39ad20 9c1a161fd74a 9c9c3ac1a50b
    9d3856b229b6 9f44fa33a031 a074dd74ca0f a0ceac0dd708 a19b566d7dc0 a217d208a164 a28509415758
    a44f0ec63c7a a4cf99712218 a55b478e0398 a6efc5912a02 a761a6547b4c a8a5d1b3ab39 ab1a44c774ca
    abbae73f1f55 ad2b41585149 ad7519e5ff5b ade294c8c353 aea023acc735 af058b59c39e b1b0d9e2feda
    b21886434be6 b25751a7f53d b26ff4a2f9ec b33f33844c29 b42c00ee7a5d b64553c055b3 b7b60f899b83
    b93d43363138 bd0d43f51f36 bd2edfe1f42a be247de141ab be46cbaf5b29 c11e56295120 c3f22069fe3f
    c6c5685c1df7 c8e218785a91 cac622920888 cccfeccd0ce1 cddf2f7408f0 ce17a21e1551 ce2bb4712f54
    d2cb1f272513 d2e3142cd3a8 d3277f1c144c d4edfc7920db d79b21e8908f d90213554795 d9455e608755
    dfae267bc443 e04237b050d0 e115dc11ffdf e3180905d260 e3a1bf13ae9b e3fc053a9a1b e403d880eab0
    e94967070e5b ecd25251d5a3 eeb225dc1d07 ef317754d257 ef3752216a08 f03fa4c3eea4 f0e62c82bba0
    f2a3bd2b479c f2dae7feb742 f3173661ff0b f51c548d352c f6557c7c71ef f93e0514ff8a fb65e9b6c92f
        """.split()
    ),
    "arc": frozenset(
        """
    CSZ20740 CSZ_2009_8_CSZ20770 CSZ_2009_8_CSZ30768 LEAP_2002_4_10246 LEAP_2002_8_10388
    MDSA_2007_8_5 MSA_2012_5_14 MSA_2012_8_35 MSA_2013_8_7 Mercury_409875 Mercury_410707
    Mercury_7007665 Mercury_7040898 Mercury_7056350 Mercury_7107380 Mercury_7128783
    Mercury_7175455 Mercury_7215215 Mercury_7274330 Mercury_LBS11005 Mercury_SC_400189
    Mercury_SC_401340 Mercury_SC_415533 NAEP_2005_4_S13+9 NYSEDREGENTS_2005_8_29
    NYSEDREGENTS_2009_4_25 NYSEDREGENTS_2009_4_3 NYSEDREGENTS_2009_8_6
        """.split()
    ),
    "bbh": frozenset(
        """
    201e9a8d5f86 2cda96fc4a67 39a7fbcf5e84 4548c7c2a43f 97209bcec6c4 e1e1db0b2b78 e49732a08fd6
        """.split()
    ),
    "mbpp": frozenset(
        """
    514 516 517 521 530 538 542 549 550 551 556 569 584 594 598 602 608 616 618 632 634 643 647
    649 653 655 658 664 673 676 682 683 690 697 704 716 719 726 729 732 733 738 743 756 759 762
    763 770 777 784 787 793 794 800 807 820 821 824 837 841 842 845 866 870 872 875 879 881 884
    886 888 893 917 922 924 928 930 933 940 952 956 964 965 970 974
        """.split()
    ),
}
